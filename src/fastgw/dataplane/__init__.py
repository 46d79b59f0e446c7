"""What a worker runs: from the bytes of a client to the bytes of an upstream and back."""
