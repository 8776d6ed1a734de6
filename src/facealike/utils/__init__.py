"""Small tools that know nothing of faces: text, files, locks, threads, ONNX files."""
