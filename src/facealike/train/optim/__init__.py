"""Optimizers and numeric precision."""
