"""The commands ``figures`` and ``consistency``."""
