"""How the terminal shows what commands found."""
