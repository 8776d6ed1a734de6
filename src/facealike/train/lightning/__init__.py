"""What the training runs share around their loops."""
