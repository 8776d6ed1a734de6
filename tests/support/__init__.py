"""What several tests share: stand-in models, drawn people, corrupt files, paths."""
