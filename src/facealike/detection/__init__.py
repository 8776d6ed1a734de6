"""Find faces and their landmarks, and choose the one that is meant."""
