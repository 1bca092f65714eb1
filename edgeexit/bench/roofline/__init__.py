"""Why Eq. 5 and the clock differ: what parts move and compute, and the peaks of the machine."""
