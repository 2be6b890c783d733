"""Disk to batch: store -> plan -> loader -> loop."""
