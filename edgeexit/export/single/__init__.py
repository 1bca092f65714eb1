"""A bundle packed into one ONNX file that implements early exit itself."""
