"""Options of the commands, and the values that they are converted to."""
