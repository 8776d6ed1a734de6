"""Examine the installation: versions, processor, onnxruntime, the model, and how long it takes."""
