"""HTTP service of a bundle: the Open Inference Protocol, and image files."""
