"""What the routes share: the model, the queue, the galleries, the uploads and the logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from ..embedding.cropper import PhotoLimits
from ..embedding.face_model import Model
from ..errors import FacealikeError
from .audit_log import AuditLog
from .embedding_processes import EmbeddingProcesses, worker_count
from .embedding_threads import EmbeddingThreads
from .explainer import Explainer
from .face_queue import Engine, FaceQueue
from .galleries import Galleries
from .photo_work import PhotoFaces
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
    async def open(cls, settings: ServiceSettings, model: Model, engine: Engine | None) -> Resources:
        """Open everything; see ``make_app``.

        Raises:
            FacealikeError: A worker process does not start.
        """
        if engine is None:
            engine = make_engine(settings, model)
            await engine.open()
        queue = FaceQueue(engine, settings.queue, settings.timeout)
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


def make_engine(settings: ServiceSettings, model: Model) -> Engine:
    """Return what finds and embeds faces, in threads or in processes; it is not open yet."""
    limits = PhotoLimits(settings.max_pixels, settings.max_faces)
    count = worker_count(settings.processes, model.device)
    if count:
        return EmbeddingProcesses(model, count, settings.batch, settings.timeout, limits)
    return EmbeddingThreads(model, settings.batch, settings.wait, limits)


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
