"""facealike: how alike two faces are, and how sure you may be."""

__version__ = "0.1.0"
