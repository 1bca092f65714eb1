"""CUDA's driver: contexts, memory, streams and graphs, through PyCUDA and ctypes."""
