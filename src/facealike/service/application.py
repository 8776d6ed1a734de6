"""The ASGI application: routes, and around them the guard and the observer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .. import __version__
from ..embedding.face_model import Model
from . import gallery_routes, page_routes, photo_routes
from .access import Entry, Guard
from .api_keys import KeyFile
from .face_queue import Engine
from .metrics import Metrics
from .observer import Observer
from .problems import handle_errors
from .rate_limit import RateLimit
from .resources import Resources
from .settings import ServiceSettings

DESCRIPTION = """Compare, explain, detect, embed, enroll, identify and verify faces, with calibrated answers.

A photo is sent as a file of a multipart form, or as base64 in JSON. No photo is stored. Errors are problem
documents (RFC 9457); `error` is the class of the Python error.
"""


def make_app(settings: ServiceSettings, model: Model, engine: Engine | None = None) -> FastAPI:
    """Return the application of a service.

    Args:
        settings: What it accepts, and where its files are.
        model: A loaded model.
        engine: An open engine, which the application closes; None opens one with the application.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        app.state.resources = resources = await Resources.open(settings, model, engine)
        metrics.watch(resources.queue, resources.explainer, resources.galleries)
        try:
            yield
        finally:
            await resources.close()

    app = FastAPI(
        title="facealike", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    metrics, keys = Metrics(), KeyFile(settings.keys)
    app.state.metrics = metrics
    handle_errors(app)
    for routes in (page_routes, photo_routes, gallery_routes):
        app.include_router(routes.router)

    app.state.entry = entry = Entry(keys, not settings.loopback, RateLimit(settings.rate))
    app.add_middleware(Guard, entry=entry)
    app.add_middleware(Observer, metrics=metrics)  # added last, so it is around everything
    return app
