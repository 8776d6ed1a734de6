"""Measure and calibrate a model on people whom it has never seen."""
