"""What reproduces the paper's figures and its study of the backbone, for any networks.

Nothing else in edgeexit needs it.
"""
