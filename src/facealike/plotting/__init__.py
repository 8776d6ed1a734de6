"""Figures and montages; the only package that imports matplotlib."""
