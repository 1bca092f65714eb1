"""One ONNX graph per part of a network: traced, simplified, rewritten."""
