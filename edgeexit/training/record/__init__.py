"""What a run writes while it trains, and what is read back to go on."""
