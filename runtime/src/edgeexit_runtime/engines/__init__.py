"""Building a bundle's TensorRT engines, checking their precision, and storing their files."""
