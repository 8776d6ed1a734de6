"""Figures and montages: the only package that loads matplotlib."""
