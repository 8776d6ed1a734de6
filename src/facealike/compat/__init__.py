"""Other libraries' interfaces on top of facealike."""
