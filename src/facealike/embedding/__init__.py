"""Crop faces, embed them, and cache crops."""
