"""What a session puts into its stream: images, engines, copies, and graphs of them."""
