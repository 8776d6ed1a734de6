"""The settings of a service: options, before the environment, before a TOML file, before defaults."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..client.fields import MOST_PHOTOS
from ..errors import UsageError
from ..model_file.store import HOME_VARIABLE, home_folder
from ..utils.escape import shown
from .settings_file import read_settings_file

PREFIX = "FACEALIKE_SERVE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
"""Names the settings file where no option does."""

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
        explanations: Most comparisons that are explained at a time.
        processes: Processes that find and embed faces; 0 is one a core, and 1 the service's own, with
            threads, as it is with 0 on one core or a GPU.
        batch: Most faces that are embedded together.
        wait: Seconds that a face waits for others to join its batch; without worker processes.
        timeout: Seconds that accepted photos may take.
        body_timeout: Seconds that a request's body may take to arrive.
        rate: Requests a minute of one key; 0 sets no limit.
        connections: Most connections at a time.
        grace: Seconds that requests in work get to finish when the service stops.
        log: The request log: lines of ``text``, ``json`` (one object a line), or ``none``.
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
    queue: Annotated[int, Field(ge=MOST_PHOTOS)] = 256
    explanations: Count = 2
    processes: Annotated[int, Field(ge=0, le=64)] = 0
    batch: Count = 32
    wait: Annotated[float, Field(ge=0, le=1)] = 0.003
    timeout: Seconds = 20.0
    body_timeout: Seconds = 30.0
    rate: Annotated[int, Field(ge=0)] = 600
    connections: Count = 512
    grace: Seconds = 30.0
    log: Literal["text", "json", "none"] = "text"

    @field_validator("data", "key_file")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        """Return the path with ``~`` replaced, which no shell does in a file or a unit."""
        return None if path is None else path.expanduser()

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


def read_settings(config: Path | None = None, **stated: Any) -> ServiceSettings:
    """Return the settings: what is stated, else the environment's, else the file's, else the default.

    Args:
        config: A TOML file; None takes the one that ``FACEALIKE_SERVE_CONFIG`` names, if it names one.
        stated: Fields of ``ServiceSettings``; None leaves one to the others.

    Raises:
        UsageError: A value cannot be used, or something states what is no setting.
        DataError: The file cannot be read.
    """
    given = {name: value for name, value in stated.items() if value is not None}
    if "model" in given:
        given["model"] = os.fspath(given["model"])
    fields = ServiceSettings.model_fields
    in_environment = _named_in_environment()
    if unknown := in_environment - {*fields, "config"}:
        raise UsageError(
            f"{PREFIX}{shown(min(unknown).upper())}: no such setting; the settings are "
            f"{', '.join(sorted(fields))}"
        )
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    in_file = {} if config is None else read_settings_file(config, fields)
    in_file = {name: value for name, value in in_file.items() if name not in {*given, *in_environment}}
    try:
        return ServiceSettings(**in_file, **given)
    except ValidationError as error:
        first = error.errors(include_context=False)[0]
        name = str(first["loc"][0])
        if config is not None and name in in_file:
            place = f"{shown(config)}: {name}"
        else:
            place = name if name in given else PREFIX + name.upper()
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{place}: {message}, not {shown(repr(first['input']))}") from None


def _named_in_environment() -> set[str]:
    """Return the names of settings that the environment states, without the prefix."""
    names = (name.upper() for name in os.environ)
    return {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
