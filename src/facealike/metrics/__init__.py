"""Error rates, curves and confidence intervals from arrays of scores; no photo comes in here."""
