"""Terminal output of the commands' results."""
