"""Branch classifiers, one kind per file. The registry imports every file of this folder."""
