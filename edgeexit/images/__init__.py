"""Images from untrusted sources: image files, and arrays in NumPy files."""
