"""Opens the inputs of commands: checkpoints, bundles, weights, and images to evaluate them on."""
