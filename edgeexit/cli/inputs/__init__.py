"""What a command is given, opened: checkpoints, bundles, weights, and images to judge them on."""
