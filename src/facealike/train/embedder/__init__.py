"""Train an embedder on labeled people."""
