"""The page of one predicted recording, and its annotations for MNE."""
