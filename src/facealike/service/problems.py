"""Errors as problem documents (RFC 9457), with the names of facealike's own error classes."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from .. import errors
from ..client.schemas import Problem
from ..errors import FacealikeError, ServiceError
from ..gallery.enroll_person import NothingEnrolled
from ..utils.escape import one_line
from .uploads import InvalidRequest

LOG = logging.getLogger("facealike.service")

MEDIA_TYPE = "application/problem+json"


class NotFound(ServiceError):
    """There is no such gallery or person."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 404)


STATUS: tuple[tuple[type[FacealikeError], int], ...] = (
    (errors.ImageTooLarge, 413),
    (errors.ImageError, 422),
    (errors.FaceError, 422),
    (errors.NotCalibrated, 409),
    (errors.MixedModels, 409),
    (errors.UsageError, 422),
    (NothingEnrolled, 422),
)
"""The HTTP status of each class that a request can cause; the first that fits counts, and else it is 500."""


def status_of(error: FacealikeError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, ServiceError):
        return error.status or 500
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def name_of(error: FacealikeError) -> str:
    """Return the name of an error's class, or of its nearest base, in ``facealike.errors``."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def problem(status: int, error: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return a problem document."""
    return {
        "type": f"urn:facealike:error:{error}", "title": HTTPStatus(status).phrase, "status": status,
        "detail": one_line(detail), "error": error, **more,
    }  # fmt: skip


def problem_response(
    status: int, error: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Return the response with a problem document."""
    body = problem(status, error, detail, **more)
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def retry(seconds: float | None) -> dict[str, str]:
    """Return the header that says when to try again, if that helps."""
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def handle_errors(app: FastAPI) -> None:
    """Let every error of ``app`` leave as a problem document; one of ours without a trace of its cause."""

    @app.exception_handler(FacealikeError)
    async def of_ours(_: Request, error: FacealikeError) -> JSONResponse:
        status = status_of(error)
        if status >= 500 and not isinstance(error, ServiceError):
            LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
            # The message may name a path of this machine.
            return problem_response(status, name_of(error), "the service failed; its log says why")
        wait = error.retry_after if isinstance(error, ServiceError) else None
        return problem_response(status, name_of(error), str(error), retry(wait))

    @app.exception_handler(InvalidRequest)
    async def of_the_body(_: Request, error: InvalidRequest) -> JSONResponse:
        return _invalid(error.errors)

    @app.exception_handler(RequestValidationError)
    async def of_the_address(_: Request, error: RequestValidationError) -> JSONResponse:
        return _invalid([{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()])

    @app.exception_handler(HTTPException)
    async def of_the_framework(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        return problem_response(error.status_code, "ServiceError", str(error.detail), headers)

    @app.exception_handler(Exception)
    async def of_nobody(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
        return problem_response(500, "FacealikeError", "the service failed; its log says why")


def _invalid(found: list[dict[str, Any]]) -> JSONResponse:
    first = found[0] if found else {"loc": (), "msg": "not valid"}
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return problem_response(422, "UsageError", f"{place}: {first['msg']}", errors=found)


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
    for status, description in {
        400: "The body ended too early.",
        401: "A key is needed, or the key is not valid.",
        403: "The key's scope does not allow this, or the request comes from another website.",
        404: "No such gallery or person.",
        408: "The body arrived too slowly.",
        409: "The person has no template left, or the model is not calibrated.",
        413: "A request, or a photo, that is too large.",
        415: "The body is neither multipart/form-data nor application/json.",
        422: "A request or photo that cannot be used, such as one without a face.",
        429: "Too many requests with this key; Retry-After says when to try again.",
        503: "The queue is full: Retry-After says when to try again. Or the operator must mend something.",
    }.items()
}
"""The errors of a route, for its OpenAPI."""
