"""Layers shared by backbones and branches."""
