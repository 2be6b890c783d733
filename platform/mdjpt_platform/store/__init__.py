"""Prepared data on disk."""

from mdjpt_platform.store.read import Store, open_store
from mdjpt_platform.store.schema import FORMAT, INDEX_SCHEMA, Manifest, TrialRow, store_folder, store_key
from mdjpt_platform.store.write import write_store

__all__ = [
    "FORMAT",
    "INDEX_SCHEMA",
    "Manifest",
    "Store",
    "TrialRow",
    "open_store",
    "store_folder",
    "store_key",
    "write_store",
]
