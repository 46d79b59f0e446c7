"""How the keeper knows where the servers of each upstream are, and how they are; what it finds out is a roster."""
