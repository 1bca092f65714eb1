"""TensorRT engines beside a bundle: built, checked before they are loaded, kept as files."""
