"""What callers and providers of language models say to each other: bytes in, bytes out, and what it means in tokens."""
