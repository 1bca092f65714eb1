"""Branch classifiers, one kind per file. Every file here is imported by the registry."""
