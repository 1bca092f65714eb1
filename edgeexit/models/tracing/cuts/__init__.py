"""Cut a traced model into stages."""
