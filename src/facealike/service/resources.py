"""What the routes share: the model, the queue, the galleries, the uploads and the logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from ..embedding.cropper import PhotoLimits
from ..embedding.face_model import Model
from ..errors import FacealikeError
from .audit_log import AuditLog
from .explainer import Explainer
from .face_queue import FaceQueue, PhotoFaces
from .galleries import Galleries
from .settings import ServiceSettings
from .uploads import Uploads


@dataclass(frozen=True)
class Resources:
    """What lives as long as the service runs."""

    settings: ServiceSettings
    model: Model
    queue: FaceQueue
    explainer: Explainer
    galleries: Galleries
    uploads: Uploads
    audit: AuditLog

    @classmethod
    def open(cls, settings: ServiceSettings, model: Model) -> Resources:
        """Open everything; an event loop must run."""
        limits = PhotoLimits(settings.max_pixels, settings.max_faces)
        queue = FaceQueue(model, settings.queue, settings.batch, settings.wait, settings.timeout, limits)
        uploads = Uploads(settings.max_bytes, settings.max_held, settings.body_timeout)
        galleries = Galleries(settings.galleries, model, settings.key_file)
        explainer = Explainer(queue, settings.explanations, settings.timeout)
        return cls(settings, model, queue, explainer, galleries, uploads, AuditLog(settings.audit))

    async def close(self) -> None:
        """Finish accepted work, then close the galleries and the log."""
        await self.explainer.close()
        await self.queue.close()
        self.galleries.close()
        self.audit.close()


async def _resources(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


Used: TypeAlias = Annotated[Resources, Depends(_resources)]
"""The resources, as a parameter of a route."""


def found_in(photo: PhotoFaces | FacealikeError) -> PhotoFaces:
    """Return the faces of a photo; raise its error."""
    if isinstance(photo, FacealikeError):
        raise photo
    return photo
