"""What somebody needs who looks after runs: what a result came from, how far runs are, whether one repeats."""
