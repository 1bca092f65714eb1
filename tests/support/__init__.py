"""What tests of several folders build on, the runtime's among them.

The runtime's take ``full_disk``, ``hardware``, ``int8_products``, ``messages`` and
``timed_runner``, which need neither torch nor edgeexit.
"""
