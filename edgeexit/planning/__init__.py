"""Plan exits by their cost on a device, before training.

``candidates`` writes bundles of networks with random weights, the runtime times them
(:mod:`edgeexit_runtime.timing.paths`), ``analysis`` makes a :class:`results.Plan` from the times,
and ``words`` describes what to train.
"""
