"""Layers that backbones and branches share."""
