"""What exits would cost on a device, before anything is trained.

``candidates`` writes bundles of networks with random weights, the runtime times them
(:mod:`edgeexit_runtime.timing.paths`), ``analysis`` makes a :class:`results.Plan` of the times, and
``words`` says what to train.
"""
