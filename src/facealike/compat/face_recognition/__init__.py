"""The interface of the package ``face_recognition`` 1.3 on top of facealike.

    import facealike.compat.face_recognition as face_recognition

Names, arguments, defaults and shapes are those of that package; the faces and the encodings are those of a
facealike model, by default the default model.  docs/guides/face-recognition.md lists what differs.
"""

from __future__ import annotations

from .api import (
    batch_face_locations,
    compare_faces,
    face_distance,
    face_encodings,
    face_landmarks,
    face_locations,
    load_image_file,
)
from .engine import use_model

__all__ = [
    "batch_face_locations",
    "compare_faces",
    "face_distance",
    "face_encodings",
    "face_landmarks",
    "face_locations",
    "load_image_file",
    "use_model",
]
