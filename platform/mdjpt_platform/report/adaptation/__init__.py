"""The page of an adaptation: its learning curve."""
