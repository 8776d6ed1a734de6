"""Batches, samplers and augmentation."""
