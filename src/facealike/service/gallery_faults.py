"""The answers on a gallery that cannot be used, for callers and the operator: neither a path nor a person."""

from __future__ import annotations

from ..errors import FacealikeError, MixedModels, ServiceError
from ..gallery.unusable import Fault, NotErased, UnusableGallery, fault_of
from .face_queue import RETRY_AFTER

CURES: dict[Fault, str] = {
    "no key": "it is encrypted, and the service has no key; give it by --key-file or FACEALIKE_GALLERY_KEY",
    "wrong key": "it is encrypted with another key than that of the service; start it with the right one",
    "not encrypted": (
        "the service has a key, and the gallery is not encrypted; encrypt it with facealike gallery encrypt, "
        "or start the service without a key"
    ),
    "key changed": "its key was changed meanwhile; start the service with the new one",
    "read-only": "its file or its folder cannot be written; allow it",
    "full": "the disk is full; free some space",
    "busy": "another process is writing in it; try again in a moment",
    "unreachable": "its file cannot be opened; check its permissions and the disk",
    "damaged": "its file is damaged, or no gallery; facealike gallery check examines it: restore a copy",
    "newer": "it is of a newer facealike; update the service",
}
"""What is wrong, and what the operator of the service does about it."""

OTHER_MODEL = (
    "it holds templates of another model than that of the service; move it with facealike gallery migrate, "
    "or start the service with its model"
)
UNREADABLE_KEY = "the key of the service cannot be read; check --key-file or FACEALIKE_GALLERY_KEY"
NOT_ERASED = (
    "what was removed is in no result any more, but another process reads the gallery, so its bytes are not "
    "erased from the file yet; they are as soon as the gallery is used again without that process"
)


class GalleryUnavailable(ServiceError):
    """A gallery cannot be used: nothing that the caller could change.

    ``reason`` is the sentence without the gallery, ``lasting`` whether somebody must mend something.
    """

    def __init__(self, name: str, reason: str, lasting: bool = True) -> None:
        super().__init__(
            f"the gallery {name} cannot be used: {reason}", 503, None if lasting else RETRY_AFTER
        )
        self.reason, self.lasting = reason, lasting


def unavailable(name: str, error: FacealikeError | OSError) -> GalleryUnavailable:
    """Return the answer to callers for an error of a gallery.

    Args:
        name: The gallery.
        error: An UnusableGallery, a NotErased, a MixedModels or what the operating system says.
    """
    if isinstance(error, MixedModels):
        return GalleryUnavailable(name, OTHER_MODEL)
    if isinstance(error, NotErased):
        return GalleryUnavailable(name, NOT_ERASED)
    fault = error.fault if isinstance(error, UnusableGallery) else "damaged"
    if isinstance(error, OSError):
        fault = fault_of(error)
    return GalleryUnavailable(name, CURES[fault], fault != "busy")
