"""The version of edgeexit-runtime, and of edgeexit, which is released with it."""

__version__ = "0.1.0"
