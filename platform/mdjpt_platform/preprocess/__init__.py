"""From raw recordings to a store. `run` is imported by name: it is the one file here that knows Ray."""

from mdjpt_platform.preprocess.recipe import PRESETS, folder_of, recipe_hash, resolve
from mdjpt_platform.preprocess.steps import STEPS, Step

__all__ = ["PRESETS", "STEPS", "Step", "folder_of", "recipe_hash", "resolve"]
