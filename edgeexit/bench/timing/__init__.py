"""What is timed, and how: candidates in interleaved rounds, on real images and without."""
