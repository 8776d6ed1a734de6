"""Model files: weights, preprocessing, detector, card and calibration in one file."""
