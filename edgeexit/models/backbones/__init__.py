"""Backbones, one family per file. The registry imports every file of this folder."""
