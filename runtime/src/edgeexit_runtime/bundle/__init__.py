"""A bundle on disk: its folder, its manifest, and the entries of the manifest."""
