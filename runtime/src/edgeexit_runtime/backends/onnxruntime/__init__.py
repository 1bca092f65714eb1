"""ONNX Runtime, on its execution providers."""
