"""Folders and lists of people: splits, pairs, duplicates, demographic labels."""
