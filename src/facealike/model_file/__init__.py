"""The one file that a model is: weights, preprocessing, detector, card, calibration."""
