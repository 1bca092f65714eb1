"""A bundle -> a model repository of Triton Inference Server, which runs the parts in sequence."""
