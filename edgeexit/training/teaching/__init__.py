"""What the exits learn from: losses, and the teachers in them."""
