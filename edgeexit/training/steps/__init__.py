"""Which parts learn when, in which order of images, one optimizer step after another."""
