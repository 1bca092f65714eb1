"""An ONNX file with several exits -> a bundle, with onnx, onnxruntime and numpy alone."""
