"""Offline prediction: recordings of anybody's -> what a model folder says of them, with how far it may be trusted."""
