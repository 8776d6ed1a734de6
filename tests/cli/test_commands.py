"""The command line: what it prints, how it fails, and the exit codes that scripts rely on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

import facealike
from facealike.cli import app
from facealike.cli.console import print_json
from facealike.cli.options import RENAMED_OPTIONS
from facealike.datasets.splits import split_of
from facealike.detection.dlib_hog import DlibDetector
from facealike.embedding.embeddings_file import load_embeddings
from facealike.embedding.face_model import Model
from facealike.errors import MissingExtra
from facealike.evaluation.verification import evaluate_split
from facealike.quality.result import Quality
from facealike.quality.score import face_quality
from facealike.utils.escape import one_line
from facealike.verification.compare import compare
from support.ctrl_c import HEARS_CTRL_C
from support.data_paths import data_path
from support.tiny_model import astronaut, hopper_path, tiny_model_file

COMMANDS = [
    ["compare"], ["predict"], ["detect"], ["embed"], ["pairs"], ["evaluate"], ["calibrate"], ["report"],
    ["explain"],
    ["train"], ["recipes"], ["export"], ["data", "lfw"], ["data", "summary"], ["model", "info"],
    ["model", "verify"], ["models", "list"], ["models", "add"], ["models", "remove"], ["models", "bundle"],
    ["gallery", "enroll"], ["gallery", "identify"], ["gallery", "forget"], ["gallery", "list"],
    ["gallery", "verify"], ["gallery", "correct"], ["gallery", "info"], ["gallery", "check"],
    ["gallery", "compact"], ["gallery", "export"], ["gallery", "import"], ["gallery", "migrate"],
    ["gallery", "new-key"], ["gallery", "encrypt"], ["gallery", "decrypt"], ["gallery", "rekey"],
    ["identify"], ["cluster"], ["audit"],
    ["video"], ["doctor"], ["serve", "keys", "add"], ["serve", "keys", "list"], ["serve", "keys", "revoke"],
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def told(result: Result) -> Any:
    """The one JSON document on stdout."""
    return json.loads(result.stdout)


def sentence(result: Result) -> str:
    """The one line on stderr."""
    assert result.stderr.startswith("facealike: ") and result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.output
    return str(result.stderr).strip()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny model and a few photos: a, b (two people), none (no face), many (several faces)."""
    folder = tmp_path_factory.mktemp("cli")
    tiny_model_file().write(folder / "tiny.facealike")
    photos = {
        "a.png": astronaut(),
        "none.png": np.full((90, 120, 3), 128, np.uint8),
        "many.png": np.concatenate([astronaut()[:, :400]] * 2, axis=1),
    }
    for name, pixels in photos.items():
        PillowImage.fromarray(pixels).save(folder / name)
    return SimpleNamespace(
        folder=folder, model=folder / "tiny.facealike", a=folder / "a.png", b=hopper_path(),
        none=folder / "none.png", many=folder / "many.png",
    )  # fmt: skip


@pytest.fixture(scope="module")
def people(here: SimpleNamespace) -> Path:
    """Eight people of the split "test" with three photos each, made of two real faces."""
    root: Path = here.folder / "people"
    names = [name for name in (f"Person_{i}" for i in range(200)) if split_of(name) == "test"][:8]
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for k in range(3):
            photo = (
                astronaut()[:300, 60:360] if i % 2 else np.asarray(PillowImage.open(here.b))[50:450, 60:460]
            )
            tinted = np.clip(photo.astype(int) + 6 * i - 3 * k, 0, 255).astype(np.uint8)
            PillowImage.fromarray(tinted).save(root / name / f"{name}_{k + 1:04d}.jpg")
    return root


# ---- compare ----------------------------------------------------------------------------------


def test_compare_says_what_the_library_says(here: SimpleNamespace) -> None:
    result = run("compare", here.a, here.b, "--model", here.model, "--json")
    ours = compare(str(here.a), here.b, str(here.model)).to_dict()
    theirs = told(result)
    assert set(theirs.pop("milliseconds")) == set(ours.pop("milliseconds"))
    assert theirs == ours
    assert result.exit_code == 1 and result.stderr == ""


def test_compare_exits_0_for_the_same_person_and_1_for_another(here: SimpleNamespace) -> None:
    same = run("compare", here.a, here.a, "-m", here.model)
    assert same.exit_code == 0 and same.stdout.startswith("same person (no probability")
    assert same.stdout.splitlines()[2] == "score 1.000, threshold 0.900 (best F1)"
    other = run("compare", here.a, here.b, "-w", here.model)
    assert other.exit_code == 1 and other.stdout.startswith("different people (no probability")
    assert run("compare", here.a, here.b, "-m", here.model, "-t", "-1").exit_code == 0
    assert str(here.a) in other.stdout and "confidence" in other.stdout and "on cpu" in other.stdout
    assert "milliseconds" not in same.stdout, "Issue 19 D4: timings only where they are asked for"
    verbose = run("compare", here.a, here.b, "-m", here.model, "--verbose")
    assert "\nmilliseconds: load " in verbose.stdout
    assert same.stdout.count("quality 1.00\n") == 2 and "poor face" not in same.stdout
    assert other.stdout.count("quality 1.00\n") == 1 and "poor face" not in other.stdout
    assert other.stdout.count("quality 0.99\n") == 1, "the scan of a film has some grain"


def test_compare_warns_of_a_poor_face(
    here: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(image: Any, face: Any, detector: str, smaller: float = 1.0) -> Quality:
        return Quality(0.2, ("dark", "blurred"), poor=True) if image.mean() < 80 else Quality(1.0)

    monkeypatch.setattr(import_module("facealike.embedding.cropper"), "face_quality", judge)
    PillowImage.fromarray(astronaut() // 2).save(tmp_path / "poor.png")
    result = run("compare", here.a, tmp_path / "poor.png", "-m", here.model)
    assert result.exit_code in (0, 1) and result.stderr == ""
    (line,) = [line for line in result.stdout.splitlines() if "poor face" in line]
    assert line == "the second face is dark and blurred: the verdict rests on a poor face"
    assert (
        f"{tmp_path / 'poor.png'}: face" in result.stdout
        and "quality 0.20: dark and blurred" in result.stdout
    )
    entries = told(run("compare", here.a, tmp_path / "poor.png", "-m", here.model, "--json"))
    assert entries["warnings"] == [line] and [q["poor"] for q in entries["quality"]] == [False, True]


def test_compare_says_which_face_of_several(here: SimpleNamespace) -> None:
    count = len(DlibDetector().detect(np.asarray(PillowImage.open(here.many))))
    result = run("compare", here.many, here.a, "-m", here.model, "--face", "central")
    assert f"the central of {count} faces" in result.stdout and result.stdout.count(" faces\n") == 1
    assert told(run("compare", here.many, here.a, "-m", here.model, "--json"))["faces_found"] == [count, 1]


def test_compare_of_crops_looks_for_no_face(here: SimpleNamespace) -> None:
    assert run("compare", here.none, here.none, "-m", here.model).exit_code == 3
    # A grey crop at 128 is nearly the mean, but not quite: it still has a direction.
    result = run("compare", here.none, here.none, "-m", here.model, "--aligned")
    assert result.exit_code == 0 and result.stdout.count("taken as a face crop") == 2


def test_compare_has_an_exit_code_for_each_failure(here: SimpleNamespace) -> None:
    no_face = run("compare", here.a, here.none, "-m", here.model)
    assert no_face.exit_code == 3 and f"{here.none}: no face found" in sentence(no_face)
    several = run("compare", here.a, here.many, "-m", here.model, "--face", "only")
    assert several.exit_code == 4 and f"{here.many}: " in sentence(several)
    every = run("compare", here.a, here.a, "-m", here.model, "--face", "all")
    assert every.exit_code == 2 and "'all' is not one of 'largest', 'central'" in every.stderr
    missing = run("compare", here.a, "nowhere.jpg", "-m", here.model)
    assert missing.exit_code == 2 and "nowhere.jpg: no such file" in sentence(missing)
    model = run("compare", here.a, here.a, "-m", here.a)
    assert model.exit_code == 2 and f"{here.a}: not a whole facealike model" in sentence(model)
    threshold = run("compare", here.a, here.a, "-m", here.model, "-t", "7")
    assert threshold.exit_code == 2 and "between -1 and 1" in sentence(threshold)
    device = run("compare", here.a, here.a, "-m", here.model, "-d", "tpu")
    assert device.exit_code == 2 and "auto, cpu or cuda:N" in sentence(device)


def test_errors_are_json_too(here: SimpleNamespace) -> None:
    result = run("compare", here.a, here.none, "-m", here.model, "--json")
    assert told(result)["error"] == "NoFaceFound" and result.exit_code == 3
    assert f"facealike: {told(result)['message']}" == sentence(result)


def test_a_newline_in_a_file_name_stays_on_its_line(here: SimpleNamespace) -> None:
    result = run("compare", "two\nlines\x1b[31m.jpg", here.a, "-m", here.model)
    assert r"two\nlines\x1b[31m.jpg" in sentence(result)
    assert one_line("a\tb\u2028c\udcff") == "a\\tb\\u2028c\\udcff"


# ---- detect, embed, pairs ---------------------------------------------------------------------


def test_detect_prints_every_face(here: SimpleNamespace) -> None:
    faces = DlibDetector().detect(astronaut())
    result = run("detect", here.a, "--detector", "dlib", "--json")
    judged = [
        {
            "number": number,
            **face.to_dict(),
            "quality": face_quality(astronaut(), face, "dlib-hog").to_dict(),
        }
        for number, face in enumerate(faces, 1)
    ]
    assert told(result)["images"][0]["faces"] == judged
    assert told(result)["images"][0]["width"] == 512 and result.exit_code == 0
    text = run("detect", here.a, "-m", here.model).stdout
    assert (
        text.startswith(f"{here.a}: 1 face\n  face 1: box ") and "confidence" in text and "quality " in text
    )


def test_detect_goes_on_past_a_photo_that_fails(here: SimpleNamespace) -> None:
    result = run("detect", here.none, "nowhere.jpg", here.a, "--detector", "dlib")
    assert result.exit_code == 3 and f"{here.none}: 0 faces" in result.stdout
    assert f"{here.a}: 1 face" in result.stdout and "nowhere.jpg" in sentence(result)
    only = run("detect", here.many, here.a, "--detector", "dlib", "--face", "only", "--json")
    assert only.exit_code == 4
    assert [entry.get("error") for entry in told(only)["images"]] == ["SeveralFaces", None]
    both = run("detect", here.a, "--detector", "dlib", "-m", here.model)
    assert both.exit_code == 2 and "not both" in sentence(both)
    unread = run("detect", here.a, "--detector", here.folder / "none.onnx")
    assert unread.exit_code == 2 and "none.onnx" in sentence(unread)


def test_detect_shows_landmarks_of_a_yunet_file(here: SimpleNamespace) -> None:
    path = data_path("FACEALIKE_YUNET")
    assert "landmarks (" in run("detect", here.a, "--detector", path).stdout


def test_detect_searches_large_photos_for_small_faces(here: SimpleNamespace, tmp_path: Path) -> None:
    photo = PillowImage.open(hopper_path()).convert("RGB")
    small = photo.resize((photo.width // 9, photo.height // 9), PillowImage.Resampling.LANCZOS)
    large = PillowImage.new("RGB", (2600, 2000), (90, 90, 90))
    large.paste(small, (1500, 900))
    large.save(tmp_path / "large.png")
    usual, closer = (
        told(run("detect", tmp_path / "large.png", *more, "--json")) for more in ((), ("--min-face", 12))
    )
    assert usual["images"][0]["faces"] == [] and "min_face" not in usual["detector"]
    (face,) = closer["images"][0]["faces"]
    assert closer["detector"]["min_face"] == 12 and 1500 < face["box"][0] < 1500 + small.width
    tiny = run("detect", tmp_path / "large.png", "--min-face", 3)
    assert tiny.exit_code == 2 and "enlarge the photo" in sentence(tiny)
    other = run("detect", tmp_path / "large.png", "--detector", "dlib", "--min-face", 20)
    assert other.exit_code == 2 and "YuNet family" in sentence(other)


def test_embed_writes_what_the_library_embeds(here: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    result = run("embed", here.a, here.b, "--out", out, "-m", here.model, "--json")
    assert result.exit_code == 0
    report = told(result)
    assert (report["vectors"], report["photos"], report["unused"]) == (2, 2, [])
    model = Model.load(here.model)
    rows, paths = load_embeddings(out, model)
    assert paths == (str(here.a), here.b)
    assert np.abs(rows - model.embed([here.a, here.b])).max() < 1e-5


def test_embed_searches_folders_and_names_what_it_leaves_out(here: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    PillowImage.fromarray(astronaut()).save(folder / "x.JPG")
    (folder / "broken.png").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no photo")
    result = run(
        "embed", tmp_path / "deep", here.many, "-o", tmp_path / "e.npz", "-m", here.model, "--face", "all"
    )
    passed_over, left_out = result.stderr.splitlines()
    assert "1 entry is passed over" in passed_over and "notes.txt" in passed_over
    assert result.exit_code == 2 and "broken.png" in left_out
    _, paths = load_embeddings(tmp_path / "e.npz", Model.load(here.model))
    assert list(dict.fromkeys(paths)) == [str(folder / "x.JPG"), str(here.many)] and len(paths) > 2


def test_embed_that_yields_nothing_writes_nothing(here: SimpleNamespace, tmp_path: Path) -> None:
    result = run("embed", here.none, "--out", tmp_path / "e.npz", "-m", here.model, "--json")
    assert result.exit_code == 3 and told(result)["out"] is None and not (tmp_path / "e.npz").exists()
    assert told(result)["unused"] == [{"photo": str(here.none), "kind": "no_face", "reason": "no face found"}]
    nowhere = run("embed", here.a, "--out", tmp_path / "no" / "e.npz", "-m", here.model)
    assert nowhere.exit_code == 2 and "does not exist" in sentence(nowhere)
    (tmp_path / "empty").mkdir()
    empty = run("embed", tmp_path / "empty", "--out", tmp_path / "e.npz", "-m", here.model)
    assert empty.exit_code == 2 and "no photo in this folder" in sentence(empty)


def test_embed_writes_a_table_or_a_gallery_by_the_ending(here: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table = tmp_path / "e.parquet"
    result = run("embed", here.a, here.none, "--to", table, "-m", here.model, "--json")
    report = told(result)
    assert result.exit_code == 0 and (report["photos"], report["faces"]) == (2, 1)
    assert report["left_out"] == {"no_face": 1, "unreadable": 0, "several_faces": 0}
    _, paths = load_embeddings(table, Model.load(here.model))
    assert paths == (str(here.a),)
    nothing = run("embed", here.none, "--to", tmp_path / "n.parquet", "-m", here.model)
    assert nothing.exit_code == 2 and "the reasons are in" in nothing.stderr
    listed = tmp_path / "people.csv"
    listed.write_text(f"photo,person\n{here.a},Ann\n{here.none},Bob\n")
    enrolled = told(run("embed", listed, "--to", tmp_path / "p.db", "-m", here.model, "--json"))
    assert enrolled["added"] == 1 and enrolled["refused"][0]["person"] == "Bob"
    people = run("gallery", "list", tmp_path / "p.db", "--json")
    assert told(people)["people"] == {"Ann": 1}


def test_no_face_names_only_commands_that_have_aligned(here: SimpleNamespace, tmp_path: Path) -> None:
    """Galleries and identify named an option that they do not have."""
    said = sentence(run("gallery", "enroll", tmp_path / "g.db", "Ann", here.none, "-m", here.model))
    named = said.partition("frontal; ")[2].partition(" take ")[0].replace(" and", ",").split(", ")
    assert named == ["compare", "explain", "embed"]
    assert all("--aligned" in run(command, "--help").stdout for command in named)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "e.npz", "--engine", "ray"], "--engine and --workers are for a .parquet file"),
        (["--to", "e.npz", "--workers", "2"], "--engine and --workers are for a .parquet file"),
        (["--to", "e.parquet", "--address", "a:1"], "add --engine ray"),
        (["--to", "e.parquet", "--strict"], "leave out --strict"),
        (["--to", "e.db", "--aligned"], "leave out --aligned"),
        (["--to", "e.db", "--face", "all"], "choose another face policy than all"),
        (["--to", "e.csv"], "use .npz, .parquet or, for a gallery, .db"),
    ],
)
def test_options_of_embed_that_contradict_each_other(
    words: list[str], says: str, here: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("embed", here.a, *words, "-m", here.model)
    assert result.exit_code == 2 and says in sentence(result)


def test_every_command_that_writes_checks_first(
    here: SimpleNamespace, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 C7: a folder that cannot be written is refused before a photo is read."""

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("facealike.utils.atomic_write._probe", read_only)
    monkeypatch.setattr("facealike.imaging.read.read_file", lambda *_: pytest.fail("a photo was read"))
    for arguments in (
        ["embed", here.a, "-m", here.model, "--out", tmp_path / "e.npz"],
        ["pairs", people, "-m", here.model, "--out", tmp_path / "p.png"],
        ["calibrate", here.model, people, "--out", tmp_path / "c.facealike"],
        ["evaluate", here.model, people, "--out", tmp_path / "results"],
        ["train", people, "--recipe", "cosface", "--out", tmp_path / "m.facealike"],
        ["export", here.model, people, "--out", tmp_path / "m.facealike"],
        ["models", "bundle", "default", "--out", tmp_path / "b.zip"],
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and "Read-only file system" in result.stderr, arguments
    assert list(tmp_path.iterdir()) == []


def test_pairs_draws_a_picture(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.png"
    arguments = ("pairs", people, "--out", out, "--split", "test", "--count", "3")
    result = run(*arguments, "--model", here.model, "--json")
    assert result.exit_code == 0
    shown = told(result)["pairs"]
    assert [pair["same"] for pair in shown] == [True] * 3 + [False] * 3
    for pair in shown:
        assert (Path(pair["a"]).parent == Path(pair["b"]).parent) == pair["same"]
    with PillowImage.open(out) as picture:
        assert picture.width > 400 and picture.height > 300
    again = told(run(*arguments, "--detector", "dlib", "--json"))
    assert again["pairs"] == shown
    assert told(run(*arguments, "--detector", "dlib", "--seed", "5", "--json"))["pairs"] != shown
    nobody = run("pairs", people, "--out", out, "--split", "train", "-m", here.model)
    assert nobody.exit_code == 2 and "split train" in sentence(nobody)


def test_pairs_of_everybody(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    """Issue 19 D6: a folder too small for splits had no pairs to look at."""
    out = tmp_path / "pairs.png"
    result = run("pairs", people, "--out", out, "--split", "all", "--count", "2", "-m", here.model, "--json")
    assert result.exit_code == 0 and len(told(result)["pairs"]) == 4 and told(result)["split"] == "all"


def test_detect_searches_folders(here: SimpleNamespace, tmp_path: Path) -> None:
    """Issue 19 D6."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    PillowImage.fromarray(astronaut()).save(tmp_path / "deep" / "er" / "x.JPG")
    (tmp_path / "deep" / "notes.txt").write_text("no photo")
    result = run("detect", tmp_path / "deep", here.none, "--detector", "dlib", "--json")
    found = [(Path(entry["photo"]).name, bool(entry["faces"])) for entry in told(result)["images"]]
    assert found == [("x.JPG", True), ("none.png", False)]
    (tmp_path / "empty").mkdir()
    empty = run("detect", tmp_path / "empty", "--detector", "dlib")
    assert empty.exit_code == 2 and "no photo in this folder" in sentence(empty)


# ---- evaluate, data, model --------------------------------------------------------------------


def test_evaluate_scores_a_split(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", here.model, people, "--split", "test", "--cache", tmp_path / "cache")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    ours = evaluate_split(Model.load(here.model), people, "test").to_dict()
    assert told(result)["evaluations"] == [ours]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"table.md", "table.json", "roc.png"}
    assert json.loads((tmp_path / "report" / "table.json").read_text())["evaluations"] == [ours]
    text = run(*arguments, "--threshold", "0.5").stdout
    assert f"{ours['auc']:.4f}" in text and "ROC AUC" in text and "threshold 0.500" in text


def test_evaluate_scores_a_list_of_pairs(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    one, other = sorted(people.iterdir())[:2]
    rows = [
        "a,b,same", f"{one.name}/{one.name}_0001.jpg,{one.name}/{one.name}_0002.jpg,1",
        f"{one.name}/{one.name}_0001.jpg,{other.name}/{other.name}_0001.jpg,0",
    ]  # fmt: skip
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    result = run("evaluate", here.model, "--pairs", tmp_path / "mine.csv", "--root", people, "--json")
    assert result.exit_code == 0, result.output
    evaluation = told(result)["evaluations"][0]
    assert (evaluation["name"], evaluation["pairs"], evaluation["people"]) == ("mine", 2, 2)


def test_evaluate_refuses_people_of_the_training(people: Path, tmp_path: Path) -> None:
    from facealike.datasets.seen import identity_hash
    from support.tiny_model import tiny_card

    seen = sorted(path.name for path in people.iterdir())[0]
    card = tiny_card(identity_hashes=(identity_hash("salt", seen),))
    tiny_model_file(card=card).write(tmp_path / "seen.facealike")
    refused = run("evaluate", tmp_path / "seen.facealike", people, "--json")
    assert refused.exit_code == 2 and told(refused)["error"] == "PeopleOverlap"
    count = len(list(people.iterdir()))
    assert f"1 of the {count} people in these pairs took part in the training" in told(refused)["message"]
    assert seen in told(refused)["message"]
    allowed = run("evaluate", tmp_path / "seen.facealike", people, "--allow-overlap", "--json")
    assert allowed.exit_code == 0 and told(allowed)["evaluations"][0]["leaked"] is True


def test_evaluate_by_the_protocol_of_lfw(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in people.iterdir())
    rows = ["a,b,same,fold"]
    for i, name in enumerate(names):
        rows.append(f"{name}/{name}_0001.jpg,{name}/{name}_0002.jpg,1,{i % 2}")
        other = names[(i + 2) % len(names)]
        rows.append(f"{name}/{name}_0001.jpg,{other}/{other}_0002.jpg,0,{i % 2}")
    (tmp_path / "folds.csv").write_text("\n".join(rows) + "\n")
    arguments = ("evaluate", here.model, people, "--protocol", "lfw", "--pairs", tmp_path / "folds.csv")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    shown = told(result)
    assert shown["protocol"] == "lfw-view2" and len(shown["folds"]) == 2
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert found == {"view2.md", "view2.json", "roc.png"}
    text = run(*arguments).stdout
    assert "accuracy" in text.splitlines()[0] and f"accuracy {shown['accuracy']:.2%}" in text


@pytest.mark.parametrize("protocol", ["exhaustive", "identification"])
def test_evaluate_a_set_as_a_whole(
    here: SimpleNamespace, people: Path, tmp_path: Path, protocol: str
) -> None:
    arguments = ("evaluate", here.model, people, "--protocol", protocol, "--cache", tmp_path / "cache")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    assert told(result)["protocol"] == protocol
    picture = "roc.png" if protocol == "exhaustive" else "identification.png"
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert found == {f"{protocol}.md", f"{protocol}.json", picture}
    assert run(*arguments).stdout.startswith("test, ")


def test_evaluate_compares_two_models(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", here.model, people, "--against", here.model, "--split", "all")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    figures = told(result)["difference"]["figures"]
    assert figures["f1"]["model"] == figures["f1"]["against"]
    assert "95 % interval" in (tmp_path / "report" / "difference.md").read_text("utf-8")
    refused = run(*arguments, "--protocol", "exhaustive")
    assert refused.exit_code == 2 and "--against compares scores of pairs" in sentence(refused)


def test_evaluate_leaves_out_the_photos_of_lowest_quality(
    here: SimpleNamespace, people: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", here.model, people, "--protocol", "discard")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert told(result)["points"][0]["name"] == "threshold"
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "discard.md", "discard.json", "discard.png",
    }  # fmt: skip
    refused = run(*arguments, "--cache", tmp_path / "cache")
    assert refused.exit_code == 2 and "keeps no quality" in sentence(refused)


def test_evaluate_in_full_writes_a_page(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", here.model, people, "--protocol", "full", "--split", "all", "--seed", "2")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    assert told(result)["protocol"] == "full" and told(result)["conditions"]["seed"] == 2
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md", "report.json", "report.html", "det.png",
    }  # fmt: skip
    assert "not measured: by group" in run(*arguments).stdout
    refused = run(*arguments, "--cache", tmp_path / "cache")
    assert refused.exit_code == 2 and "keeps no quality" in sentence(refused)


def test_evaluate_reads_the_templates_of_ijb(here: SimpleNamespace, people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "IJBX"
    (folder / "meta").mkdir(parents=True)
    listed, pairs, names = [], [], sorted(path.name for path in people.iterdir())
    for number, name in enumerate(names):
        photos = sorted((people / name).iterdir())[:2]
        for k, photo in enumerate(photos):
            copy = folder / "loose_crop" / f"{2 * number + k + 1}{photo.suffix}"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(photo.read_bytes())
            listed.append(f"{copy.name} {2 * number + k} {k}")
        pairs.append(f"{2 * number} {2 * number + 1} 1")
        pairs.append(f"{2 * number} {(2 * number + 3) % (2 * len(names))} 0")
    (folder / "meta" / "x_face_tid_mid.txt").write_text("\n".join(listed))
    (folder / "meta" / "x_template_pair_label.txt").write_text("\n".join(pairs))
    arguments = ("evaluate", here.model, folder, "--protocol", "templates")
    result = run(*arguments, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    assert told(result)["templates"] == 2 * len(names)
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert found == {"templates.md", "templates.json", "roc.png"}
    refused = run("evaluate", here.model, people, "--protocol", "templates")
    assert refused.exit_code == 2 and "no list *_face_tid_mid.txt" in sentence(refused)


def test_evaluate_takes_everybody_in_a_folder_of_ones_own(
    here: SimpleNamespace, people: Path, tmp_path: Path
) -> None:
    result = run("evaluate", here.model, people, "--split", "all", "--cache", tmp_path, "--json")
    assert told(result)["evaluations"][0]["people"] == len(list(people.iterdir()))


def test_evaluate_refuses_what_makes_no_sense(here: SimpleNamespace, people: Path) -> None:
    lfw = ["--protocol", "lfw"]
    for arguments in (
        [], [people, "--pairs", "x"], [people, "--root", "x"], [people, "-t", "2"], [people, *lfw],
        [*lfw, "--pairs", "x"], [people, *lfw, "--pairs", "x", "--root", people],
        [people, *lfw, "--pairs", "x", "-t", "0.5"], ["--protocol", "exhaustive"],
        [people, "--protocol", "exhaustive", "--pairs", "x"],
        [people, "--protocol", "identification", "-t", "0.5"],
    ):  # fmt: skip
        result = run("evaluate", here.model, *arguments)
        assert result.exit_code == 2
        sentence(result)


def test_data_summary_counts(people: Path) -> None:
    splits = told(run("data", "summary", people, "--json"))["splits"]
    assert splits["test"] == splits["all"]
    assert splits["all"] == {"people": 8, "photos": 24, "genuine_pairs": 24, "people_with_one_photo": 0}
    assert splits["train"]["people"] == 0
    assert run("data", "summary", people).stdout.splitlines()[0].split()[:2] == ["split", "people"]
    missing = run("data", "summary", people / "nowhere")
    assert missing.exit_code == 2 and "nowhere" in sentence(missing)


def test_data_lfw_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "lfw.tgz").write_bytes(b"no archive")
    result = run("data", "lfw", tmp_path / "lfw.tgz", "--to", tmp_path / "out", "--json")
    assert result.exit_code == 2 and "lfw.tgz" in sentence(result) and "error" in told(result)


def test_model_info_shows_the_card(here: SimpleNamespace) -> None:
    file = tiny_model_file()
    shown = told(run("model", "info", here.model, "--json"))
    assert shown["id"] == file.id and shown["card"]["licence"] == file.card.licence
    assert shown["card"]["identity_hashes"] == 1 and shown["calibration"] == file.calibration.to_dict()
    text = run("model", "info", here.model).stdout
    for words in (file.id, "CC0-1.0", "0.900 (best F1)", file.card.limits, "32 x 32"):
        assert words in text
    assert run("model", "info", here.a).exit_code == 2


# ---- train ------------------------------------------------------------------------------------


def test_recipes_are_listed() -> None:
    found = told(run("recipes", "--json"))
    assert found and all(found.values())
    text = run("recipes").stdout
    assert all(name in text and description in text for name, description in found.items())


def test_train_hands_everything_on(monkeypatch: pytest.MonkeyPatch, people: Path, tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    def fake(*arguments: Any) -> Any:
        calls.append(arguments)
        print("a remark of Lightning's")
        return SimpleNamespace(evaluations=[], model_path=tmp_path / "m", to_dict=lambda: {"model": "m"})

    import facealike.train

    monkeypatch.setitem(vars(facealike.train), "train", fake)  # not setattr, which would load torch
    recipe = next(iter(told(run("recipes", "--json"))))
    result = run(
        "train", people, "--recipe", recipe, "--out", tmp_path / "m", "--run", tmp_path / "r", "--seed", "7",
        "--set", "training.epochs=3", "--set", "crop.size=64", "--detector", "dlib", "--device", "cpu",
        "--resume", "--cache", tmp_path / "c", "--strict", "--json",
    )  # fmt: skip
    assert result.exit_code == 0 and told(result) == {"model": "m"}
    assert "remark" in result.stderr
    folder, plan, out, kept, options = calls[0]
    options.progress(1, 2)
    assert (folder, out, kept, options.cache) == (people, tmp_path / "m", tmp_path / "r", tmp_path / "c")
    assert (plan.seed, plan.training.epochs, plan.crop.size) == (7, 3, 64)
    assert options.detector.spec == DlibDetector().spec
    assert (options.device, options.resume, options.strict) == ("cpu", True, True)


def test_train_refuses_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, people: Path, tmp_path: Path
) -> None:
    unknown = run("train", people, "-r", "no-such-recipe", "-o", tmp_path / "m")
    assert unknown.exit_code == 2 and "no-such-recipe" in sentence(unknown)
    recipe = next(iter(told(run("recipes", "--json"))))
    wrong = run("train", people, "-r", recipe, "-o", tmp_path / "m", "--set", "training.epoch=3")
    assert wrong.exit_code == 2 and "training.epoch" in sentence(wrong)

    def missing(*arguments: Any) -> Any:
        raise MissingExtra("training needs torch; run: pip install 'facealike[train]'")

    import facealike.train

    monkeypatch.setitem(vars(facealike.train), "train", missing)
    extra = run("train", people, "-r", recipe, "-o", tmp_path / "m")
    assert extra.exit_code == 2 and "pip install 'facealike[train]'" in sentence(extra)


# ---- the whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_its_exit_codes(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    if command != ["recipes"]:
        assert "Exit code" in result.stdout


def commands() -> list[Any]:
    """All commands, those of groups too, as click has them."""
    import typer.main

    def leaves(group: Any) -> list[Any]:
        return [
            leaf
            for item in group.commands.values()
            for leaf in (leaves(item) if hasattr(item, "commands") else [item])
        ]

    return leaves(typer.main.get_command(app))


def test_no_command_has_more_than_twelve_options_and_each_has_json() -> None:
    assert len(commands()) == len(COMMANDS)
    for item in commands():
        options = [
            option for parameter in item.params for option in parameter.opts if option.startswith("--")
        ]
        # The first two change how the result is shown; the others mean the same in every command.
        # Where the work is done, and crops that are kept, change how fast it comes, not the result; neither
        # does the key of a gallery.
        shared = (
            "as_json", "draw", "strict", "allow_duplicates", "cache", "device", "devices", "nodes",
            "key_file",
        )  # fmt: skip
        own = [p for p in item.params if p.param_type_name == "option" and p.name not in shared]
        assert len(own) <= 12, f"{item.name}: twelve besides those in shared"
        assert "--json" in options and all(parameter.help for parameter in item.params), item.name


def test_version_and_usage_errors() -> None:
    assert run("--version").stdout == f"facealike {facealike.__version__}\n"
    assert run("compare", "only-one.jpg").exit_code == 2
    assert run("compare", "--no-such-option").exit_code == 2
    assert run("no-such-command").exit_code == 2


def test_an_option_of_the_last_release_works_but_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(RENAMED_OPTIONS, "skip", "aligned")
    assert "no such option" in run("detect", "--leap", tmp_path / "x.jpg").stderr.lower()
    for old in ("--skip", "--aligned"):
        stderr = run("embed", tmp_path, old, "-o", tmp_path / "out.npz").stderr.lower()
        assert "no such option" not in stderr and "no photo" in stderr, stderr
    assert "--skip" not in run("embed", "--help").output


def test_renamed_options_lead_to_options() -> None:
    known = {option.lstrip("-") for command in commands() for p in command.params for option in p.opts}
    assert set(RENAMED_OPTIONS.values()) <= known and not set(RENAMED_OPTIONS) & known


def test_numbers_that_json_does_not_have_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), 1.5, (float("inf"),)], "b": {"c": None}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, [None]], "b": {"c": None}}


def shell(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "facealike", *map(str, arguments)], capture_output=True, timeout=60, **options
    )


def test_the_real_program_compares(here: SimpleNamespace) -> None:
    before = hashlib.sha256(here.a.read_bytes()).hexdigest()
    done = shell("compare", here.a, here.b, "-m", here.model, "--json", cwd=here.folder)
    assert done.returncode == 1 and json.loads(done.stdout)["verdict"] == "different" and done.stderr == b""
    assert hashlib.sha256(here.a.read_bytes()).hexdigest() == before


@pytest.mark.skipif(os.name != "posix", reason="file names of raw bytes are a POSIX matter")
def test_a_file_name_that_is_no_text_is_told_in_ascii(here: SimpleNamespace) -> None:
    name = os.fsdecode(b"\xff\n.jpg")
    done = shell("detect", name, "--detector", "dlib", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes and signals elsewhere")
def test_a_reader_that_goes_away_is_no_error(here: SimpleNamespace) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "facealike", "model", "info", str(here.model), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()  # before the program can have written anything
    assert program.wait(60) == 141 and program.stderr.read() == b""
    program.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes and signals elsewhere")
def test_an_interrupt_ends_with_130_and_one_line(here: SimpleNamespace, tmp_path: Path) -> None:
    script = (
        f"{HEARS_CTRL_C}import os, facealike.imaging.scaled_jpeg\n"
        "facealike.imaging.scaled_jpeg.decode = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)\n"
        "from facealike.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "embed", here.a, "-o", tmp_path / "e.npz", "-m", here.model],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130 and done.stderr == b"facealike: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_what_a_newcomer_mistypes_is_answered_with_what_to_do(here: SimpleNamespace, tmp_path: Path) -> None:
    forgotten = run("evaluate", here.folder)
    assert forgotten.exit_code == 2 and f"facealike evaluate default {here.folder}" in sentence(forgotten)
    for person in ("Ann", "Bob"):
        (tmp_path / "people" / person).mkdir(parents=True)
        for photo in (1, 2):
            PillowImage.new("RGB", (8 + photo, 8), (photo, 0, 0)).save(
                tmp_path / "people" / person / f"{photo}.png"
            )
    few = run("evaluate", here.model, tmp_path / "people", "--split", "train")
    assert few.exit_code == 2 and "--split all" in sentence(few)
    torch = run("calibrate", here.model, tmp_path / "people", "--out", tmp_path / "mine.pt")
    assert torch.exit_code == 2 and f"write to {tmp_path / 'mine.facealike'}" in sentence(torch)
