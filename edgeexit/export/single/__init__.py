"""A bundle as one ONNX file that exits early by itself."""
