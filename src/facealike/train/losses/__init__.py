"""Losses that a recipe can name."""
