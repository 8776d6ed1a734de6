"""Read the body of a request into its schema: multipart or JSON, in memory only, under limits.

Bytes are counted while they arrive.  Nothing is written to a disk, and names of files are not looked at.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, get_origin

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from ..client.schemas import Request as Schema
from ..errors import ServiceError
from .face_queue import RETRY_AFTER

S = TypeVar("S", bound=Schema)

JSON, MULTIPART = "application/json", "multipart/form-data"
MOST_FIELDS = 32
LONGEST_FIELD = 64 * 1024  # bytes of a form field that is no photo


class InMemoryParser(MultiPartParser):
    """Starlette's parser, whose files never leave memory: photos are not to reach a disk."""

    spool_max_size = sys.maxsize


class InvalidRequest(Exception):
    """A body that is not what the schema asks for; ``errors`` are those of pydantic, without the input."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the request is not valid")
        self.errors = errors


class Uploads:
    """Bodies of requests, all of them together under one limit.

    Args:
        max_bytes: Most bytes of one body.
        max_held: Most bytes of all bodies in work.
        timeout: Seconds that a body may take to arrive.
    """

    def __init__(self, max_bytes: int, max_held: int, timeout: float) -> None:
        self._max_bytes, self._max_held, self._timeout = max_bytes, max(max_held, max_bytes), timeout
        self.held = 0

    @asynccontextmanager
    async def read(self, request: Request, schema: type[S]) -> AsyncGenerator[S, None]:
        """Yield the body as its schema; its bytes count as held until the block ends.

        Raises:
            ServiceError: The body is too large, too slow, of another type, or too many are held.
            InvalidRequest: It does not fit the schema.
        """
        held = 0

        async def stream() -> AsyncGenerator[bytes, None]:
            nonlocal held
            async for chunk in request.stream():
                held += len(chunk)
                self.held += len(chunk)
                self._check(held)
                yield chunk

        self._check_length(request.headers.get("content-length"))
        try:
            try:
                yielded = await asyncio.wait_for(_fields(request, stream(), schema), self._timeout)
            except asyncio.TimeoutError:
                raise ServiceError(f"the body did not arrive within {self._timeout:g} seconds", 408) from None
            except ClientDisconnect:
                raise ServiceError("the connection was closed before the body had arrived", 400) from None
            yield yielded
        finally:
            self.held -= held

    def _check_length(self, stated: str | None) -> None:
        if stated is not None and stated.isdigit():
            self._check(int(stated))

    def _check(self, count: int) -> None:
        if count > self._max_bytes:
            raise ServiceError(
                f"a request of more than {self._max_bytes / 2**20:.3g} MiB; send smaller photos", 413
            )
        if self.held > self._max_held:
            raise ServiceError("the service is busy; try again in a moment", 503, RETRY_AFTER)


async def _fields(request: Request, stream: AsyncIterator[bytes], schema: type[S]) -> S:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        body = b"".join([chunk async for chunk in stream])
        # Megabytes of base64 take their time, in which other requests go on.
        return await asyncio.to_thread(_from_json, body, schema)
    if kind == MULTIPART:
        return _validated(schema, await _form(request, stream, schema), strict=False)
    raise ServiceError(f"a body of the type {MULTIPART} or {JSON} is needed", 415)


def _from_json(body: bytes, schema: type[S]) -> S:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest(
            [{"loc": ["body"], "msg": "not JSON in UTF-8", "type": "json_invalid"}]
        ) from None
    return _validated(schema, value, strict=True)


async def _form(request: Request, stream: AsyncIterator[bytes], schema: type[Schema]) -> dict[str, Any]:
    parser = InMemoryParser(
        request.headers, _generator(stream),
        max_files=schema.MOST_FILES, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD,
    )  # fmt: skip
    try:
        form = await parser.parse()
    except MultiPartException as error:
        message = f"not a multipart form ({error.message})"
        raise InvalidRequest([{"loc": ["body"], "msg": message, "type": "form_invalid"}]) from None
    except (KeyError, UnicodeError, LookupError):
        raise InvalidRequest(
            [{"loc": ["body"], "msg": "not a multipart form", "type": "form_invalid"}]
        ) from None
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        content = await value.read() if isinstance(value, UploadFile) else value
        if name in schema.PHOTOS and _is_list(schema, name):
            fields.setdefault(name, []).append(content)
        elif name in fields:
            raise InvalidRequest([{"loc": [name], "msg": "given more than once", "type": "repeated"}])
        else:
            fields[name] = content
    await form.close()
    return fields


async def _generator(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in stream:
        yield chunk


def _is_list(schema: type[Schema], name: str) -> bool:
    return get_origin(schema.model_fields[name].annotation) is list


def _validated(schema: type[S], value: Any, strict: bool) -> S:
    try:
        return schema.model_validate(value, strict=strict)
    except ValidationError as error:
        # Without the input, which may be a photo, and the context, which may be an exception.
        raise InvalidRequest(
            [dict(one) for one in error.errors(include_input=False, include_context=False, include_url=False)]
        ) from None


def request_body(schema: type[Schema], example: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI of a body that ``Uploads.read`` reads.

    Args:
        schema: What it holds.
        example: Of its JSON.
    """
    as_json = schema.model_json_schema()
    as_form = schema.model_json_schema()
    for name in schema.PHOTOS:
        place = as_form["properties"][name]
        place = place["items"] if place.get("type") == "array" else place
        place.clear()
        place.update({"type": "string", "format": "binary", "description": "A photo's file."})
    content = {
        MULTIPART: {"schema": as_form},
        JSON: {"schema": as_json, "example": example},
    }
    return {"requestBody": {"required": True, "content": content}}
