"""Decode photo files to upright RGB and align faces to crops."""
