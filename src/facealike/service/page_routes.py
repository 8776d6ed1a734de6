"""The page, the documentation of the API, the state of the service, and its metrics."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ..client.schemas import Health, Readiness
from ..errors import DataError, ServiceError
from .access import UNREADABLE_KEYS, Caller, Entry, needs
from .metrics import Metrics
from .problems import NotFound
from .resources import Resources, Used

PAGE = Path(__file__).parent / "page"
"""Every file that a browser gets: plain modules, without a build step."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

router = APIRouter()
Reader = Annotated[Caller, Depends(needs("read"))]
FILES = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.suffix in TYPES}
"""Read once: a request can name no other file."""


@router.get("/", include_in_schema=False)
async def page(_: Reader) -> Response:
    """Return the page."""
    return _file("index.html")


@router.get("/docs", include_in_schema=False)
async def documentation(_: Reader) -> Response:
    """Return the page that shows the OpenAPI document."""
    return _file("docs.html")


@router.get("/page/{name}", include_in_schema=False)
async def file(name: str, _: Reader) -> Response:
    """Return a file of the page."""
    return _file(name)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, _: Reader) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(await asyncio.to_thread(request.app.openapi))  # made once, in half a second


@router.get("/healthz", tags=["state"])
async def healthz() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get(
    "/readyz", tags=["state"], response_model=Readiness,
    responses={503: {"model": Readiness, "description": "It cannot do its work now; reason says why."}},
)  # fmt: skip
async def readyz(request: Request, used: Used) -> JSONResponse:
    """Say whether the service can accept a photo, read its keys, write its data and use a gallery."""
    reason = await _not_ready(request.app.state.entry, used)
    if reason:
        return JSONResponse({"status": "not ready", "reason": reason}, 503)
    return JSONResponse({"status": "ready"})


async def _not_ready(entry: Entry, used: Resources) -> str | None:
    try:
        used.queue.check_room()
        entry.key_required()
    except ServiceError as error:
        return str(error)
    except DataError:
        return UNREADABLE_KEYS
    if fault := used.queue.engine.fault():
        return fault
    effective = os.access in os.supports_effective_ids
    if not os.access(used.settings.data, os.W_OK | os.X_OK, effective_ids=effective):
        return "the data folder of the service cannot be written; allow it"
    problem = await used.galleries.problem()
    return None if problem is None else f"no gallery can be used: {problem}"


@router.get("/metrics", tags=["state"], response_class=Response)
async def metrics(request: Request, _: Reader) -> Response:
    """Return the metrics in the text format of Prometheus."""
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _file(name: str) -> Response:
    if name not in FILES:
        raise NotFound("no such file")
    return Response(FILES[name], media_type=TYPES[Path(name).suffix])
