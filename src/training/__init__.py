"""One experiment, from its configuration to a trained network on disk."""
