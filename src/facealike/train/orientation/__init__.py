"""The network that tells which way up a face is."""
