"""Conformance suites for people who implement memo's contracts. They need pytest."""

from memo.testing.inventory import InventoryIOManagerConformance
from memo.testing.io_manager import IOManagerConformance, MemoizableIOManagerConformance

__all__ = ["IOManagerConformance", "InventoryIOManagerConformance", "MemoizableIOManagerConformance"]
