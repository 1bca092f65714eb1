"""Load weights that were trained elsewhere: read files, match names, fill models."""
