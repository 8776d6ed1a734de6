"""Helpers without knowledge of faces: text, files, locks, threads, ONNX files."""
