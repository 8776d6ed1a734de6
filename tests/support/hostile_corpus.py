"""Files that others made: images, models, ONNX, zips, CSV, registries, with what may be wrong with each."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage

from facealike.calibration.calibration import Calibration
from facealike.errors import ModelError
from facealike.model_file.model_file import ModelFile
from support.corrupt_images import make_bad_inputs
from support.drawn_people import draw_face
from support.hostile_names import NAMES, as_file
from support.tiny_model import tiny_card, tiny_model_file, tiny_onnx

PERSON = '<img src=x onerror="alert(1)">|$x$|\x1b[31mred'


@dataclass
class Corpus:
    """The files by kind, and a few good ones to go with them."""

    folder: Path
    model: Path
    photo: Path
    people: Path
    names: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    graphs: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    pairs: list[Path] = field(default_factory=list)
    groups: list[Path] = field(default_factory=list)
    registries: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)

    def __len__(self) -> int:
        kinds = (
            self.names, self.images, self.models, self.graphs, self.archives, self.pairs, self.groups,
            self.registries, self.runs,
        )  # fmt: skip
        return sum(map(len, kinds))


def make_corpus(folder: Path) -> Corpus:
    """Write the whole corpus below ``folder``."""
    corpus = Corpus(folder, folder / "good.facealike", folder / "good.png", folder / "people")
    _save(corpus.photo, 0, 0)
    tiny_model_file().write(corpus.model)
    corpus.names = _named_photos(folder / "names")
    _people(corpus.people)
    corpus.images = [
        Path(bad.path) for bad in make_bad_inputs(folder / "images") if bad.argument and bad.path
    ]
    for kind, files in (
        ("models", _models()), ("graphs", _graphs()), ("archives", _archives()), ("pairs", _pair_lists()),
        ("groups", _group_lists()), ("registries", _registries()),
    ):  # fmt: skip
        (folder / kind).mkdir()
        for name, content in files.items():
            path = folder / kind / name
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
            )
            getattr(corpus, kind).append(path)
    corpus.runs = _runs(folder / "runs")
    return corpus


def _save(path: Path, person: int, photo: int) -> None:
    PillowImage.fromarray(draw_face(person, photo)).save(path, "PNG")


def _named_photos(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = []
    for name in dict.fromkeys(map(as_file, NAMES)):
        path = folder / f"{name}.png"
        _save(path, 1, 1)
        paths.append(path)
    return paths


def people_names() -> list[str]:
    """The people of the corpus: every second name that a list can hold, without a blank at its ends."""
    names = dict.fromkeys(as_file(name) for name in [PERSON, "Ada", *NAMES[::2]])
    return [name for name in names if name == name.strip() and not name.startswith(".")]


def _people(folder: Path) -> None:
    """A folder of people with hostile names, four photos each."""
    for number, name in enumerate(people_names()):
        place = folder / name
        place.mkdir(parents=True)
        for photo in range(3):
            _save(place / f"{as_file(name, 100)}_{photo}.png", number, photo)


# ---- model files ------------------------------------------------------------------------------


def _models() -> dict[str, bytes]:
    good = tiny_model_file().to_bytes()
    files = {
        "empty.facealike": b"", "text.facealike": b"no model", "half.facealike": good[: len(good) // 2],
        "photo.facealike": b"\xff\xd8\xff" + bytes(500), "zeros.facealike": bytes(100_000),
        "torch.pt": b"PK\x03\x04" + bytes(300), "pickle.facealike":
            b"\x80\x04\x95\x00\x00\x00\x00\x8c\x02os.",
        "tail.facealike": good + bytes(1000), "head.facealike": b"#!/bin/sh\n" + good,
        "twice.facealike": good + good,
    }  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(12):
        damaged = bytearray(good)
        damaged[int(rng.integers(len(good)))] ^= 1 << int(rng.integers(8))
        files[f"bit-{number}.facealike"] = bytes(damaged)
    for name, change in _manifests().items():
        files[f"{name}.facealike"] = _rezipped(good, change)
    files |= _bombs(good)
    for number, name in enumerate(NAMES[:: len(NAMES) // 18]):
        card = tiny_card(
            name=name, licence={"code": name, "weights": name, "training_data": name},
            data={"people": 1, name: name}, intended_use=name, limits=name, created=name,
            provenance={"command": name, name: {name: name}}, metrics={name: {"f1": 0.5}},
        )  # fmt: skip
        calibration = Calibration(0.9, name or "x", name or "y", 10, {"f1": 0.5})
        try:
            hostile = dataclasses.replace(tiny_model_file(), card=card, calibration=calibration)
            files[f"card-{number}.facealike"] = hostile.to_bytes()
        except ModelError:
            continue  # refused at birth
    return files


def _manifests() -> dict[str, Any]:
    """What to make of each member of a good model: name -> {member: bytes or a change of its JSON}."""
    deep: Any = 1
    for _ in range(200):
        deep = [deep]

    def json_of(**entries: Any) -> Any:
        return lambda table: {**table, **entries}

    odd = (None, True, -1, 1e308, 10**400, "x", [], {}, "\x1b[31m", deep)
    changes: dict[str, Any] = {
        f"preprocessing-{i}": {"manifest.json": json_of(preprocessing=value)} for i, value in enumerate(odd)
    }
    changes |= {f"detector-{i}": {"manifest.json": json_of(detector=value)} for i, value in enumerate(odd)}
    changes |= {
        f"spec-{i}": {"manifest.json": json_of(detector={"kind": "dlib-hog", "min_confidence": value})}
        for i, value in enumerate(odd)
    }
    changes |= {f"threshold-{i}": {"calibration.json": json_of(threshold=v)} for i, v in enumerate(odd)}
    changes |= {f"card-name-{i}": {"card.json": json_of(name=value)} for i, value in enumerate(odd)}
    changes |= {
        "version": {"manifest.json": json_of(version=99)}, "no-manifest": {"manifest.json": None},
        "manifest-list": {"manifest.json": b"[]"}, "manifest-deep": {"manifest.json": b"[" * 100_000},
        "manifest-bytes": {"manifest.json": b"\xff\xfe"}, "no-graph": {"embedder.onnx": None},
        "other-graph": {"embedder.onnx": b"x"}, "extra": {"../evil.txt": b"x"}, "absolute": {"/evil": b"x"},
        "nan": {"calibration.json": b'{"threshold": NaN}'}, "escape-member": {"\x1b[31m.json": b"{}"},
    }  # fmt: skip
    return changes


def _rezipped(good: bytes, changes: dict[str, Any], method: int = zipfile.ZIP_STORED) -> bytes:
    """The model with some members changed and its manifest's hashes right again where that can be."""
    import hashlib

    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        if change is None:
            del members[name]
        elif callable(change):
            members[name] = json.dumps(change(json.loads(members[name])), default=str).encode()
        else:
            members[name] = change
    try:
        manifest = json.loads(members["manifest.json"])
        for table in [manifest, *(value for value in manifest.values() if isinstance(value, dict))]:
            for name in set(table) & set(members):
                if isinstance(table[name], str):
                    table[name] = hashlib.sha256(members[name]).hexdigest()
        members["manifest.json"] = json.dumps(manifest).encode()
    except (KeyError, ValueError, AttributeError, RecursionError):
        pass  # the manifest itself is what is wrong
    return _zip(members, method)


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method, compresslevel=1)
    return buffer.getvalue()


def _bombs(good: bytes) -> dict[str, bytes]:
    zeros = bytes(300 << 20)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bomb = _zip({**members, "embedder.onnx": zeros}, zipfile.ZIP_DEFLATED)
    lying = bytearray(_zip(members))
    at = lying.index(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    return {
        "bomb.facealike": bomb,
        "unlisted.facealike": _zip({**members, "more.bin": zeros[: 64 << 20]}, zipfile.ZIP_DEFLATED),
        "deflated.facealike": _zip(members, zipfile.ZIP_DEFLATED),
        "lying.facealike": bytes(lying),
        "many.facealike": _zip({**members, **{f"{i}": b"" for i in range(5_000)}}),
    }


# ---- ONNX -------------------------------------------------------------------------------------


def _graph(nodes: list[Any], weights: dict[str, Any], size: int = 32, **settings: Any) -> bytes:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", "d"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **settings)
    return bytes(model.SerializeToString())


def _graphs() -> dict[str, bytes]:
    good = tiny_onnx()

    def changed(change: Any) -> bytes:
        model = onnx.load_from_string(good)
        change(model)
        return bytes(model.SerializeToString())

    def external(model: Any) -> None:
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        entry = weights.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"

    files = {
        "empty": b"", "text": b"no graph", "half": good[: len(good) // 2], "zeros": bytes(10_000),
        "random": np.random.default_rng(1).bytes(50_000), "ort": b"\x18\x00\x00\x00ORTM" + bytes(500),
        "no-such-op": changed(lambda m: setattr(m.graph.node[0], "op_type", "\x1b[31mNoSuchOp")),
        "opset": changed(lambda m: setattr(m.opset_import[0], "version", 999)),
        "ir": changed(lambda m: setattr(m, "ir_version", 99)),
        "no-input": changed(lambda m: m.graph.ClearField("input")),
        "no-output": changed(lambda m: m.graph.ClearField("output")),
        "loose": changed(lambda m: m.graph.node[0].input.__setitem__(0, "nothing")),
        "dims": changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 7)),
        "huge-dims": changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 1 << 40)),
        "negative": changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -5)),
        "external": changed(external), "batch": tiny_onnx(batch=5), "size": tiny_onnx(64),
        "fails-when-run": _graph(
            [helper.make_node("Gather", ["crops", "i"], ["p"], axis=2),
                helper.make_node("Flatten", ["p"], ["embedding"])],
            {"i": np.array([99])},
        ),
        "nan": _graph(
            [helper.make_node("Flatten", ["crops"], ["f"]), helper.make_node("Mul", ["f", "w"],
                ["embedding"])],
            {"w": np.array(np.nan, np.float32)},
        ),
        "null": _graph(
            [helper.make_node("Flatten", ["crops"], ["f"]), helper.make_node("Mul", ["f", "w"],
                ["embedding"])],
            {"w": np.array(0, np.float32)},
        ),
        "names": changed(lambda m: setattr(m.graph, "name", PERSON)),
    }  # fmt: skip
    return {f"{name}.onnx": content for name, content in files.items()}


# ---- archives ---------------------------------------------------------------------------------


def _archives() -> dict[str, bytes]:
    model = tiny_model_file().to_bytes()
    table = {"format": "facealike-bundle", "version": 1}

    def bundle(models: Any, **members: bytes) -> bytes:
        return _zip({"bundle.json": json.dumps({**table, "models": models}).encode(), **members})

    files = {
        "empty.zip": b"", "text.zip": b"no zip", "no-members.zip": _zip({}),
        "outside.zip": _zip({"../../x": b"x"}),
        "plain.zip": _zip({"a.txt": b"a"}), "no-models.zip": bundle([]), "list.zip": bundle("x"),
        "numbers.zip": bundle([1, None]), "missing.zip": bundle([{"name": "a", "file": "a.facealike"}]),
        "escape.zip": bundle([{"name": "\x1b[31m", "file": "a", "sha256": "0" * 64}], a=model),
        "outside-name.zip": bundle([{"name": "../../a", "file": "a", "sha256": "0" * 64}], a=model),
        "deep.zip": _zip({"bundle.json": b"[" * 100_000}), "bytes.zip": _zip({"bundle.json": b"\xff\xfe"}),
        "bomb.zip": _zip({"bundle.json": bytes(200 << 20)}, zipfile.ZIP_DEFLATED),
        "half.zip": bundle([], a=model)[:-40], "encrypted.zip":
            bundle([]).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    }  # fmt: skip
    for name, member in {
        "outside": "../../evil.jpg",
        "absolute": "/evil.jpg",
        "escape": "lfw/\x1b[31m/a.jpg",
    }.items():
        files[f"{name}.tgz"] = _tar(member)
    link = io.BytesIO()
    with tarfile.open(fileobj=link, mode="w:gz") as archive:
        entry = tarfile.TarInfo("lfw/A/A_0001.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    return {**files, "link.tgz": link.getvalue(), "text.tgz": b"no archive", "half.tgz": link.getvalue()[:60]}


def _tar(member: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    return buffer.getvalue()


# ---- lists ------------------------------------------------------------------------------------


def _pair_lists() -> dict[str, str | bytes]:
    name = as_file(PERSON)
    photo = f"{name}/{as_file(PERSON, 100)}"
    quoted = photo.replace('"', '""')
    whole = f'a,b,same\n"{quoted}_0.png","{quoted}_1.png",1\n"{quoted}_0.png",Ada/Ada_0.png,0\n'
    return {
        "empty.csv": "", "header.csv": "a,b,same\n", "no-header.csv": "x,y,1\n", "columns.csv": "a,b\n1,2\n",
        "escape.csv": "a,b,same\n\x1b[31m.png,b.png,1\n",
        "verdict.csv": "a,b,same\na.png,b.png,\x1b]0;t\x07\n",
        "formula.csv": "a,b,same\n=1+1,+2,1\n", "nul.csv": "a,b,same\na\0.png,b.png,1\n",
        "outside.csv": "a,b,same\n../../../etc/passwd,/etc/passwd,1\n", "bytes.csv": b"\xff\xfe\x00\x00",
        "quote.csv": 'a,b,same\n"unclosed,b,1\n', "long.csv": "a,b,same\n" + "x" * 300_000 + ",b,1\n",
        "wide.csv": "a,b,same" + ",x" * 5000 + "\n", "fold.csv": "a,b,same,fold\na,b,1,-1e99\n",
        "lines.csv": "\r\r\n\n", "utf16.csv": "a,b,same\n".encode("utf-16"), "image.csv":
            b"\x89PNG\r\n\x1a\n",

        "lfw.txt": "10\t300\n" + "\x1b[31m\t1\t2\n" * 600,
        "lfw-numbers.txt": "10\t300\nA\t-1\t99999999999999\n",
        "lfw-head.txt": "999999999\t999999999\n", "lfw-words.txt": "ten\tthree\n",
        f"{as_file(PERSON, 100)}.csv": whole, "$x$ $\\frac{.csv": whole,
    }  # fmt: skip


def _group_lists() -> dict[str, str | bytes]:
    def listed(column: str, values: list[str]) -> str:
        import csv

        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["file", "race", "gender", column])
        for number, person in enumerate(people_names()[:60]):
            value = values[number % len(values)]
            for photo in range(3):
                writer.writerow([f"{person}/{as_file(person, 100)}_{photo}.png", value, value, value])
        return text.getvalue()

    printable = [name for name in NAMES if name and "\n" not in name and "\r" not in name and name.strip()]
    return {
        "empty.csv": "", "header.csv": "file,race,gender,age\n", "no-column.csv": "file,x\na,b\n",
        "missing.csv": "file,race,gender,age\nnowhere.png,a,b,c\n",
        "nul.csv": "file,race,gender,age\na\0,b,c,d\n",
        "escape.csv": "file,race,gender,age\n\x1b[31m,\x1b[31m,\x1b[31m,\x1b[31m\n", "bytes.csv":
            b"\xff\xfe\x80",
        "names.csv": listed("age", printable[:6]), "markup.csv": listed("age", [PERSON, "$x$", "a|b", "<b>"]),
        "lines.csv": listed("age", ["a\nb", "x\rsame person", "-", "=1+1"]),
    }  # fmt: skip


def _registries() -> dict[str, str | bytes]:
    sha = "0" * 64
    entry = '[{name}]\nkind="onnx"\nurl={url}\nsha256="{sha}"\nsize={size}\nabout={about}\n'

    def made(
        name: str = "a", url: str = "'http://127.0.0.1:1/x'", size: str = "10", about: str = "''"
    ) -> str:
        return entry.format(name=name, url=url, sha=sha, size=size, about=about)

    return {
        "empty.toml": "", "broken.toml": "[[[", "bytes.toml": b"\xff\xfe", "deep.toml": "x=" + "[" * 5000,
        "list.toml": "a=[1,2]", "ipv6.toml": made(url="'http://[::1/x'"),
        "no-host.toml": made(url="'http://'"),
        "port.toml": made(url="'http://127.0.0.1:99999/x'"), "word.toml": made(url="'nope'"),
        "blank.toml": made(url="'http://a b/c'"), "file.toml": made(url="'file:///etc/passwd'"),
        "letters.toml": made(url="'http://\\u00fc.example/'".replace("'", '"')),
        "escape.toml": made(name='"\\u001b[31m"'), "about.toml": made(about='"\\u001b[31mred\\nline"'),
        "outside.toml": made(name='"../../a"'), "size.toml": made(size="9999999999999999999"),
        "number.toml": made(url="7"), "size-word.toml": made(size='"x"'), "negative.toml": made(size="-1"),
    }  # fmt: skip


# ---- runs -------------------------------------------------------------------------------------


def _runs(folder: Path) -> list[Path]:
    """Folders that claim to be a training run."""
    log = "epoch,train_loss,val_loss,val_f1\n1,0.5,0.6,0.7\n2,0.4,0.5,0.8\n"
    results = {"name": PERSON, "results": [{"name": PERSON, "f1": 0.5}], "warnings": [PERSON]}
    files: dict[str, dict[str, str]] = {
        "nothing": {},
        "log": {"log.csv": log},
        "log-escape": {"log.csv": "epoch,train_loss\n\x1b[31m,1\n"},
        "log-odd": {"log.csv": "epoch,train_loss\nnan,nan\n1e400,-inf\n"},
        "results-list": {"log.csv": log, "results.json": "[]"},
        "results-deep": {"log.csv": log, "results.json": "[" * 100_000},
        "results-odd": {"log.csv": log, "results.json": json.dumps(results)},
        "recipe": {"log.csv": log, "recipe.toml": "[[["},
        "recipe-odd": {"log.csv": log, "recipe.toml": 'name = "\\u001b[31m<script>$x$|"\n'},
        "run-odd": {"log.csv": log, "run.json": json.dumps({"recipe": PERSON, "data": PERSON})},
    }
    for name, content in files.items():
        (folder / name).mkdir(parents=True)
        for file, text in content.items():
            (folder / name / file).write_text(text, "utf-8")
    (folder / PERSON).mkdir()
    (folder / PERSON / "log.csv").write_text(log)
    return [*(folder / name for name in files), folder / PERSON]


def good_models(corpus: Corpus) -> list[Path]:
    """The models of the corpus that can be read: only what they say is hostile."""
    return [path for path in corpus.models if path.name.startswith("card-") and _reads(path)]


def _reads(path: Path) -> bool:
    try:
        ModelFile.read(path)
    except ModelError:
        return False
    return True
