"""Models of others and changed models: registry, download, import, export."""
