"""Public face embedders by name: where each comes from, its SHA-256 and what its license allows.

The list is ``registry.toml``, which tells what its keys mean; a file of one's own in the same form
does as well, for models on an intranet for instance.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ModelError
from ..model_file.licenses import License, read_licenses
from ..model_file.preprocessing import Align, Channels
from ..model_file.store import DEFAULT_MODEL, is_name
from ..utils.escape import shown
from ..utils.json_fields import from_dict, in_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["onnx", "ir", "package"]
OPTIONAL = (
    "about", "url", "package", "file", "input", "normalise", "channels", "align", "licences", "bin_sha256",
    "bin_size", "also",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A public embedder that is installed by name.

    Attributes:
        name: What it is called.
        kind: ``onnx``: a file at ``url``.  ``ir``: OpenVINO's format, an .xml at ``url`` with a .bin beside
            it. ``package``: the file ``file`` of the Python package ``package``.
        sha256: SHA-256 of the file; of the .xml for ``ir``.
        size: Length of that file in bytes.
        input: Side of the face crop in pixels.
        normalise: As ``normalize`` of ``wrap_onnx``.
        channels: As in ``wrap_onnx``.
        align: As in ``wrap_onnx``.
        bin_sha256: SHA-256 of the .bin of an IR.
        bin_size: Its length in bytes.
        also: SHA-256 of other files of the same network, such as a block-quantized one; added from disk, they
            count as this entry.

    Raises:
        ModelError: The entries do not fit each other.
    """

    name: str
    kind: Kind
    sha256: str
    size: int
    about: str = ""
    url: str = ""
    package: str = ""
    file: str = ""
    input: int = 112
    normalise: str = "arcface"
    channels: Channels = "rgb"
    align: Align = "landmarks"
    licences: dict[str, License] = field(default_factory=dict)
    bin_sha256: str = ""
    bin_size: int = 0
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, choices in (("channels", get_args(Channels)), ("align", get_args(Align))):
            if getattr(self, key) not in choices:
                wrong = in_words(getattr(self, key))
                raise ModelError(f"{self.name}: {key} must be {' or '.join(choices)}, not {wrong}")
        for key in ("about", "url", "package", "file", "normalise"):
            if not isinstance(getattr(self, key), str):
                raise ModelError(f"{self.name}: {key} must be a text, not {in_words(getattr(self, key))}")
        if not is_name(self.name) or self.name == DEFAULT_MODEL:
            raise ModelError(f"{in_words(self.name)} cannot be the name of a model")
        if self.kind not in get_args(Kind):
            raise ModelError(f"{self.name}: kind must be onnx, ir or package, not {in_words(self.kind)}")
        if not isinstance(self.also, list | tuple):
            raise ModelError(f"{self.name}: also must be a list of SHA-256, not {in_words(self.also)}")
        object.__setattr__(self, "also", tuple(self.also))
        ir = self.kind == "ir"
        digests = {"sha256": [self.sha256], "bin_sha256": [self.bin_sha256] if ir else [], "also": self.also}
        for key, values in digests.items():
            for value in values:
                if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
                    raise ModelError(f"{self.name}: {key} must be 64 small hex digits, not {in_words(value)}")
        for key in ("size", "input", *(["bin_size"] if ir else [])):
            value = getattr(self, key)
            if type(value) is not int or value < 1:
                raise ModelError(f"{self.name}: {key} must be a positive number, not {in_words(value)}")
        if bool(self.url) != (self.kind != "package") or bool(self.package and self.file) != (
            self.kind == "package"
        ):
            raise ModelError(f"{self.name}: kind onnx needs url, kind package needs package and file")
        if ir and not self.url.endswith(".xml"):
            raise ModelError(f"{self.name}: the url of kind ir ends in .xml; the .bin lies beside it")
        object.__setattr__(self, "licences", read_licenses(self.licences, f"{self.name}: licences"))

    @property
    def commercial(self) -> bool | None:
        """Whether the license of the weights allows commercial use; None if that is not certain."""
        weights = self.licences.get("weights")
        return None if weights is None else weights.commercial

    @property
    def download_size(self) -> int:
        """Bytes to download: the file and, of an IR, its .bin."""
        return self.size + self.bin_size

    @property
    def bin_url(self) -> str:
        """Where the weights of an IR are: beside its .xml."""
        return self.url.removesuffix(".xml") + ".bin"

    def is_file(self, digest: str) -> bool:
        """Whether a file with this SHA-256 is this network."""
        return digest == self.sha256 or digest in self.also

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "about": self.about,
            "source": self.url or f"Python package {self.package}",
            "sha256": self.sha256,
            "bytes": self.download_size,
            "commercial": self.commercial,
            "licences": {part: licence.to_dict() for part, licence in self.licences.items()},
        }


def read_registry(path: str | os.PathLike[str] | None = None) -> dict[str, Entry]:
    """Return the entries of a registry by name.

    Args:
        path: A TOML file; None for the registry of the package.

    Raises:
        ModelError: The file cannot be read, or an entry is invalid; the message names the file.
    """
    name = "the registry" if path is None else shown(path)
    try:
        if path is None:
            text = (resources.files("facealike.model_zoo") / "registry.toml").read_text("utf-8")
        else:
            text = Path(path).read_text("utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise ModelError(f"{name}: no registry can be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:  # not TOML or not UTF-8, or lists in lists in lists
        raise ModelError(f"{name}: not a registry in TOML ({error}); mend that line") from None
    entries: dict[str, Entry] = {}
    for key, table in tables.items():
        if not isinstance(table, dict) or "name" in table:
            raise ModelError(f"{name}: {in_words(key)} is no entry of a model; give each a table of its own")
        try:
            entries[key] = from_dict(Entry, {**table, "name": key}, key, OPTIONAL)
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from None
    return entries
