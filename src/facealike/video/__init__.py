"""Faces in videos: frames, tracks, one template and one decision a track, and an annotated copy."""
