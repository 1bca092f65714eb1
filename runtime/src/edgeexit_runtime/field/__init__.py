"""What a session sees in the field: it counts, and compares that with what it had to expect."""
