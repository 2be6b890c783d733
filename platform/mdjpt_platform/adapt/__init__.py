"""Calibrating an exported model to a person, or to a data set, from a handful of labelled trials."""
