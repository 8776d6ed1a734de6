"""Train an embedder on labelled people."""
