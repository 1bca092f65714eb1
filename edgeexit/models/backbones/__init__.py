"""Backbones, one family per file. Every file here is imported by the registry."""
