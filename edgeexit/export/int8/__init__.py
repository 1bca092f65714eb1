"""FP32 graphs -> INT8 graphs."""
