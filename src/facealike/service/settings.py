"""The settings of a service: each has a default, and a variable of the environment."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..client.fields import MOST_PHOTOS
from ..errors import UsageError
from ..model_file.store import HOME_VARIABLE, home_folder

PREFIX = "FACEALIKE_SERVE_"

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


def data_folder() -> Path:
    """Return the folder of a user's galleries and keys by default: no cache, which may be emptied."""
    if os.environ.get(HOME_VARIABLE):
        return home_folder() / "service"
    if sys.platform == "win32":
        return home_folder() / "service"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "facealike" / "service"
    stated = Path(os.environ.get("XDG_DATA_HOME") or "")
    base = stated if stated.is_absolute() else Path.home() / ".local" / "share"
    return base / "facealike" / "service"


class ServiceSettings(BaseSettings):
    """Where a service listens and keeps its files, and what it accepts.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        data: The folder of galleries, keys and the audit log.
        model: A model file, or the name of a stored model; None is the default model.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        key_file: The key that all galleries are encrypted with; None takes that in the variable
            ``FACEALIKE_GALLERY_KEY``, and without one they are plain.
        max_bytes: Most bytes of one request.
        max_pixels: Most pixels of one photo.
        max_faces: Most faces of one photo.
        max_held: Most bytes of all requests in work.
        queue: Most photos that are accepted and not answered.
        batch: Most faces that are embedded together.
        wait: Seconds that a face waits for others to join its batch.
        timeout: Seconds that accepted photos may take.
        body_timeout: Seconds that a request's body may take to arrive.
        rate: Requests a minute of one key; 0 sets no limit.
        connections: Most connections at a time.
        grace: Seconds that requests in work get to finish when the service stops.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    data: Path = Field(default_factory=data_folder)
    model: str | None = None
    device: str = "auto"
    key_file: Path | None = None
    max_bytes: Count = 20 * 2**20
    max_pixels: Count = 50_000_000
    max_faces: Count = 64
    max_held: Count = 256 * 2**20
    queue: Annotated[int, Field(ge=MOST_PHOTOS)] = 64
    batch: Count = 32
    wait: Annotated[float, Field(ge=0, le=1)] = 0.003
    timeout: Seconds = 20.0
    body_timeout: Seconds = 30.0
    rate: Annotated[int, Field(ge=0)] = 600
    connections: Count = 512
    grace: Seconds = 30.0

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.host)

    @property
    def galleries(self) -> Path:
        """The folder of the galleries."""
        return self.data / "galleries"

    @property
    def keys(self) -> Path:
        """The file of the API keys."""
        return self.data / "keys.json"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.data / "audit.jsonl"


def read_settings(**stated: Any) -> ServiceSettings:
    """Return the settings that are stated, those of the environment, and the defaults of the others.

    Args:
        stated: Fields of ``ServiceSettings``; None leaves one to the environment.

    Raises:
        UsageError: A value cannot be used.
    """
    given = {name: value for name, value in stated.items() if value is not None}
    if "model" in given:
        given["model"] = os.fspath(given["model"])
    try:
        return ServiceSettings(**given)
    except ValidationError as error:
        first = error.errors(include_context=False)[0]
        name = str(first["loc"][0])
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(
            f"{name}: {message}, not {first['input']!r}; change --{name} or {PREFIX}{name.upper()}"
        ) from None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
