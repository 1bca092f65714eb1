"""An ONNX file with several exits -> a bundle, by onnx, onnxruntime and numpy alone."""
