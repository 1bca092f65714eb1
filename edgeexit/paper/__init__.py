"""The paper's figures and its study of the backbone, for any networks.

No other part of edgeexit depends on this package.
"""
