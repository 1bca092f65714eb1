"""Options that a command declares, and what is made of them."""
