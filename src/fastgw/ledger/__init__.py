"""The durable, append-only record of money, and what of it the segment is told."""
