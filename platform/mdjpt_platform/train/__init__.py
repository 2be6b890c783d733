"""Pre-training: one loop, with and without Ray."""
