"""ONNX classifiers of no bundle, read as untrusted files and made into bundles of one graph."""
