"""Train the landmark network."""
