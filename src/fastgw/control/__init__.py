"""What the keeper serves to operators, on the admin address alone."""
