"""Networks of other groups, by way of braindecode, as baselines beside the encoders of this project."""
