"""The CUDA driver API: contexts, memory, streams and graphs, through PyCUDA and ctypes."""
