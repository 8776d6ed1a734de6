"""Embed photos of any number, from folders, archives, lists and object stores, on one machine or on Ray."""
