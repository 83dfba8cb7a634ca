"""The catalog: runs, events, materializations and recipes in one SQLite file."""

from memo.catalog.sqlite_catalog import Catalog

__all__ = ["Catalog"]
