"""Evaluate and calibrate a model on people it was not trained on."""
