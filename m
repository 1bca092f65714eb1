fatal: Not possible to fast-forward, aborting.
