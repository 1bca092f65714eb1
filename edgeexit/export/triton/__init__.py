"""A bundle -> a model repository of Triton Inference Server, which chains the parts by itself."""
