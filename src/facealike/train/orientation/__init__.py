"""The network that classifies which way up a face is."""
