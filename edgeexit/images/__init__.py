"""Images from outside: files of one each, and arrays in NumPy's files."""
