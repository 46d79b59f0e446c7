"""How a file, flags and the environment become one checked, immutable configuration."""
