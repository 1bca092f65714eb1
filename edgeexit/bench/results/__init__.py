"""What a benchmark found, as frozen data: it computes nothing."""
