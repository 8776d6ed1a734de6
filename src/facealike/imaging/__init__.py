"""From a file to upright RGB, and from a face in it to an aligned crop."""
