"""Galleries of enrolled people: one SQLite file is the truth, an index in memory answers searches."""
