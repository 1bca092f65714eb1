"""How a network is trained, as data."""
