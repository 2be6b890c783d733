"""Multi-dataset pre-training of emotional EEG, on Ray."""

__version__ = "0.1.0"
