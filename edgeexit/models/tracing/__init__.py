"""Any model traced once, and cut at the modules that are named."""
