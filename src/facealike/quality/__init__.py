"""How fit a face is to be compared."""
