"""What the supervisor works with: its children, their sockets, and how all of it is replaced while it serves."""
