"""1:1 verification: compare two photos, or the pairs of a list."""
