"""Work that a session enqueues into its stream: images, engines, copies, and graphs of them."""
