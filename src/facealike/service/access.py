"""Who may do what: a key on every request but health, a scope on every route, no other website.

``Guard`` runs before a body is read.  It authenticates everything, so a new route is closed until it says
otherwise; ``needs`` states the scope of a route.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from ..errors import DataError, ServiceError
from .api_keys import KeyFile, Scope, allows
from .problems import problem_response, retry
from .rate_limit import RateLimit
from .settings import is_loopback

LOG = logging.getLogger("facealike.service")

UNREADABLE_KEYS = "the file of API keys cannot be read; the operator of the service must restore a copy"

OPEN = ("/healthz", "/readyz")
"""Routes that need no key: they say whether the service is up, and nothing else."""

LONGEST_HEADER = 512  # characters of an Authorization header that are looked at


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the id of a key, or ``local`` where no key is needed."""

    key: str
    scope: Scope


LOCAL = Caller("local", "admin")


class Entry:
    """Decides which requests are answered at all.

    Args:
        keys: The keys.
        required: A key is needed although there is none.
        rate: The limit of each key.
    """

    def __init__(self, keys: KeyFile, required: bool, rate: RateLimit) -> None:
        self._keys, self._required, self._rate = keys, required, rate

    def key_required(self) -> bool:
        """Return whether a request needs a key: once there was one, also where the file is removed.

        Raises:
            DataError: The file cannot be read.
        """
        self._required = self._keys.any() or self._required
        return self._required

    def check(self, method: str, headers: Mapping[str, str]) -> Caller | Response:
        """Return who sends a request, or the refusal."""
        required = self.key_required()
        refusal = _foreign(method, headers, required)
        if refusal is not None or not required:
            return refusal or LOCAL
        return self._holder(headers)

    def _holder(self, headers: Mapping[str, str]) -> Caller | Response:
        record = self._keys.check(_key_of(headers.get("authorization", "")))
        if record is None:
            wants_page = "text/html" in headers.get("accept", "")
            challenge = 'Basic realm="facealike", charset="UTF-8"' if wants_page else "Bearer"
            message = "a valid key is needed: Authorization: Bearer KEY"
            return problem_response(401, "ServiceError", message, {"WWW-Authenticate": challenge})
        wait = self._rate.wait(record.id)
        if wait:
            message = "too many requests with this key; try again later"
            return problem_response(429, "ServiceError", message, retry(wait))
        return Caller(record.id, record.scope)


def _foreign(method: str, headers: Mapping[str, str], key_required: bool) -> Response | None:
    """Refuse what a browser sends for another website, and names that lead here by DNS rebinding."""
    host = headers.get("host", "")
    if not key_required and not is_loopback(_name_of(host)):
        return problem_response(
            403, "ServiceError", "without keys the service answers to localhost only, not to this host"
        )
    if method in ("GET", "HEAD"):
        return None
    origin = headers.get("origin")
    other = origin is not None and origin.partition("://")[2].lower() != host.lower()
    if other or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return problem_response(403, "ServiceError", "requests of other websites are refused")
    return None


class Guard:
    """ASGI middleware that asks ``entry`` about every request but those of ``OPEN``."""

    def __init__(self, app: ASGIApp, entry: Entry) -> None:
        self._app, self._entry = app, entry

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            decided = self._decided(scope)
            if isinstance(decided, Response):
                await decided(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = decided
        await self._app(scope, receive, send)

    def _decided(self, scope: AsgiScope) -> Caller | Response:
        try:
            return self._entry.check(scope["method"], Headers(scope=scope))
        except DataError as error:
            LOG.error("%s", error)
            return problem_response(503, "ServiceError", UNREADABLE_KEYS)


def needs(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency of a route that only a caller of ``scope`` may use."""

    async def check(request: Request) -> Caller:
        caller: Caller = request.state.caller
        if not allows(caller.scope, scope):
            raise ServiceError(f"this needs a key of the scope {scope}, not {caller.scope}", 403)
        return caller

    check.needed_scope = scope  # type: ignore[attr-defined]
    return check


def scope_of(route: Any) -> Scope | None:
    """Return the scope that a route needs; None where it states none."""
    found = (getattr(each.call, "needed_scope", None) for each in route.dependant.dependencies)
    return next((scope for scope in found if scope), None)


def _key_of(header: str) -> str:
    """Return the key of an Authorization header: a bearer's, or the password of a browser's dialog."""
    kind, _, value = header[:LONGEST_HEADER].partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
