"""Training configurations: their fields, files, recipes and resolution."""
