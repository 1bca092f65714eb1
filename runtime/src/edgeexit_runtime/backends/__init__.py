"""One file per way to execute the graphs of a bundle; each is imported only when it is chosen."""
