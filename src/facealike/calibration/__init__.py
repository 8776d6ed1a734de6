"""From a score to a threshold and a probability."""
