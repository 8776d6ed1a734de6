"""Issue 19 A9: one default for which face of a user's photo is meant, in every verb and from one constant."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from typer.main import get_command
from typer.testing import CliRunner

import facealike
from facealike.calibration.calibration import Calibration
from facealike.cli import app
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import ALIGNED, DEFAULT_FACE, LFW_FACE, policy_difference
from facealike.detection.select import select_faces
from facealike.embedding.face_model import Model
from facealike.errors import ModelError
from facealike.evaluation.demographics import evaluate_groups, for_worst_group
from facealike.metrics.bootstrap import Interval
from facealike.metrics.demographic_groups import WorstGroup
from facealike.model_file.page import model_page
from facealike.train.recipe.load import load_recipe, recipe_names
from facealike.train.recipe.schema import DataSpec
from facealike.types import Box, Face
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import tiny_model_file

ROOT = Path(facealike.__file__).parent
LFW_FUNCTIONS = {"evaluate_view2"}
"""Functions that measure by a protocol of LFW's, which needs the central face."""


# ---- what signatures say ------------------------------------------------------------------------


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function and method of the package, but those of the command line, by its full name."""
    for found in pkgutil.walk_packages([str(ROOT)], "facealike."):
        if found.name.startswith(("facealike.cli", "facealike.__main__")):
            continue
        module = importlib.import_module(found.name)
        for owner in [module, *(value for value in vars(module).values() if inspect.isclass(value))]:
            for name, value in vars(owner).items():
                function = getattr(value, "__func__", value)
                if inspect.isfunction(function) and function.__module__ == found.name:
                    yield f"{found.name}.{name}", function


def policies() -> dict[str, Any]:
    """The default of each parameter that is a policy, by the function's name."""
    found = {}
    for name, function in functions():
        for parameter in inspect.signature(function).parameters.values():
            is_policy = "FacePolicy" in str(parameter.annotation)
            if name.endswith(".__init__") and parameter.default is None:
                continue  # the field of a result, which states a policy and chooses by none
            if is_policy and parameter.default is not parameter.empty:
                found[name] = parameter.default
    return found


def test_every_function_has_the_same_default() -> None:
    found = policies()
    public = {
        "evaluation.calibrate.calibrate", "verification.compare.compare", "verification.explain.explain",
        "evaluation.verification.evaluate_pairs", "evaluation.verification.evaluate_split",
        "evaluation.demographics.evaluate_groups",
        "evaluation.all_pairs.evaluate_exhaustive", "evaluation.identification.evaluate_identification",
        "embedding.face_model.embed", "embedding.face_model.faces", "bulk.bulk_embedding.embed_all",
        "auditing.audit.audit",
    }  # fmt: skip
    assert {f"facealike.{name}" for name in public} <= set(found), "the walk sees them"
    central = {name for name, default in found.items() if name.rpartition(".")[2] in LFW_FUNCTIONS}
    assert {found[name] for name in central} == {LFW_FACE}
    # Whoever groups photos by person means every face of them.
    grouping = {name for name in found if name.startswith("facealike.clustering.")}
    assert {found[name] for name in grouping} == {"all"}
    assert {found[name] for name in set(found) - central - grouping} == {DEFAULT_FACE}


POLICY_TYPES = ("FacePolicy", "FaceOption", "FacesOption", "FaceChoice", "FacesChoice")


def test_no_default_is_spelled_out_beside_the_constant() -> None:
    """A default that is a literal would not follow the constant."""
    spelled = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            named = node.args.posonlyargs + node.args.args
            pairs = [
                *zip(named[::-1], node.args.defaults[::-1], strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            for argument, default in pairs:
                annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
                is_policy = any(word in annotation for word in POLICY_TYPES)
                if is_policy and default is not None and not isinstance(default, ast.Name):
                    spelled.append(f"{path.relative_to(ROOT)}: {node.name}")
    # All faces of a photo are what detect is asked for; evaluate takes the default or that of LFW's protocol.
    assert spelled == ["cli/detect.py: detect", "cli/evaluate.py: evaluate"]


def leaves(command: Any, name: str = "facealike") -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    for word, each in (below or {}).items():
        yield from leaves(each, f"{name} {word}")


def test_every_command_has_the_same_default() -> None:
    found = {}
    for name, command in leaves(get_command(app)):
        for option in command.params:
            if "--face" in option.opts:
                found[name] = option.default if option.default is not None else option.show_default
    assert len(found) >= 7, "the walk sees the commands"
    assert found.pop("facealike detect") == "all", "it is asked for every face"
    told = f"{DEFAULT_FACE}; {LFW_FACE} with --protocol lfw, which needs it"
    assert found.pop("facealike evaluate") == told
    assert set(found.values()) == {DEFAULT_FACE}


def test_every_recipe_but_those_for_lfw_has_the_same_default() -> None:
    assert DataSpec().face == DEFAULT_FACE
    faces = {name: load_recipe(name).data.face for name in recipe_names()}
    assert {faces.pop(name) for name in ("lfw", "legacy")} == {LFW_FACE}
    assert set(faces.values()) == {DEFAULT_FACE} and "fine-tuned" in faces


# ---- what is used -------------------------------------------------------------------------------


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The policies by which faces are chosen, as they are used; a detector that finds a face anywhere."""
    chosen: list[str] = []

    def select(faces: Any, policy: str, *rest: Any) -> Any:
        chosen.append(policy)
        return select_faces(faces, policy, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("facealike.embedding.cropper.select_faces", select)
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    return chosen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people of whom twelve are of each split that a test asks for, a list of groups, and a model."""
    root = tmp_path_factory.mktemp("faces")
    names = [f"Person_{i}" for i in range(2000)]
    for split in ("calibration", "test"):
        for number, name in enumerate([name for name in names if split_of(name) == split][:12]):
            (root / "people" / name).mkdir(parents=True)
            for photo in range(3):
                PillowImage.fromarray(draw_face(number, photo)).save(root / "people" / name / f"{photo}.png")
    people = sorted(path.name for path in (root / "people").iterdir())
    lines = ["a,b,same,fold"]
    for number, name in enumerate(people[:-2]):
        lines.append(f"{name}/0.png,{name}/1.png,1,{number % 2}")
        lines.append(f"{name}/1.png,{people[number + 2]}/2.png,0,{number % 2}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    rows = [f"{name}/{photo}.png,{'AB'[photo % 2]},M,20-29" for name in people for photo in range(3)]
    (root / "groups.csv").write_text("\n".join(["file,race,gender,age", *rows]) + "\n")
    tiny_model_file(threshold=0.9).write(root / "tiny.facealike")
    return root


COMMANDS = {
    "compare": "compare {photo} {photo} -m {model}",
    "compare --pairs": "compare --pairs {pairs} --root {people} --out {out}/scores.csv -m {model}",
    "explain": "explain {photo} {photo} -m {model}",
    "predict": "predict -img1 {photo} -img2 {photo} -w {model}",
    "embed": "embed {people} --out {out}/vectors.npz -m {model}",
    "embed --to .parquet": "embed {people} --to {out}/vectors.parquet -m {model}",
    "embed --to .db": "embed {people} --to {out}/people.db -m {model}",
    "pairs": "pairs {people} --split test --count 2 --out {out}/pairs.png -m {model}",
    "calibrate": "calibrate {model} {people} --out {out}/calibrated.facealike",
    "evaluate": "evaluate {model} {people}",
    "evaluate --pairs": "evaluate {model} --pairs {pairs} --root {people}",
    "evaluate exhaustive": "evaluate {model} {people} --protocol exhaustive",
    "evaluate identification": "evaluate {model} {people} --protocol identification",
    "evaluate full": "evaluate {model} {people} --protocol full",
    "evaluate groups": "evaluate {model} {people} --protocol groups --groups {groups}",
}


def invoke(folder: Path, out: Path, command: str) -> None:
    places = {
        "photo": next((folder / "people").rglob("*.png")), "people": folder / "people", "out": out,
        "model": folder / "tiny.facealike", "pairs": folder / "pairs.csv", "groups": folder / "groups.csv",
    }  # fmt: skip
    words = [word.format(**places) for word in command.split()]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_the_option_uses_the_default(
    name: str, folder: Path, tmp_path: Path, used: list[str]
) -> None:
    invoke(folder, tmp_path, COMMANDS[name])
    assert set(used) == {DEFAULT_FACE}


def test_the_protocol_of_lfw_uses_the_central_face_unless_told_otherwise(
    folder: Path, tmp_path: Path, used: list[str]
) -> None:
    command = "evaluate {model} {people} --protocol lfw --pairs {pairs}"
    invoke(folder, tmp_path, command)
    assert set(used) == {LFW_FACE}
    used.clear()
    invoke(folder, tmp_path, f"{command} --face only")
    assert set(used) == {"only"}


def test_the_library_uses_the_default(folder: Path, used: list[str]) -> None:
    model = Model(tiny_model_file(threshold=0.9), device="cpu")
    people, photo = folder / "people", next((folder / "people").rglob("*.png"))
    model.embed([photo])
    facealike.compare(photo, photo, model)
    facealike.calibrate(model, people, resamples=2)
    facealike.evaluate_split(model, people, "test")
    facealike.evaluate_exhaustive(model, people)
    facealike.evaluate_identification(model, people)
    facealike.evaluate_groups(model, folder / "groups.csv", people, resamples=2)
    assert set(used) == {DEFAULT_FACE}
    used.clear()
    facealike.evaluate_view2(model, people, folder / "pairs.csv")
    assert set(used) == {LFW_FACE}


# ---- what a result says -------------------------------------------------------------------------

LEARNED_ON_CENTRAL = (
    "the model was calibrated on the central face of each photo, and this is of the largest face"
)

ON_BOTH = (
    "the model was calibrated on the central face and the largest face of each photo, "
    "and this is of the only face"
)


class TwoFaces(CentralBox):
    """A small face in the middle of every photo, and a larger one in its corner."""

    def detect(self, image: Any) -> list[Face]:
        height, width = image.shape[:2]
        central = Box(width * 0.4, height * 0.4, width * 0.6, height * 0.6)
        return [Face(central, 1.0), Face(Box(0, 0, width * 0.5, height * 0.5), 0.9)]


def learned(detector: type[CentralBox] = TwoFaces, **changes: Any) -> Model:
    """A model whose calibration has those fields, behind a detector of drawn faces."""
    file = tiny_model_file()
    changed = replace(file.calibration, threshold=0.9, **changes)
    model = Model(replace(file, calibration=changed), device="cpu")
    model.__dict__["detector"] = detector()
    return model


@pytest.mark.parametrize(
    ("used", "known", "said"),
    [
        ("largest", ("central",), LEARNED_ON_CENTRAL),
        ("central", ("central",), ""),
        ("largest", (), ""),
        (None, ("central",), ""),
        ("largest", ("largest", ALIGNED), ""),
        (ALIGNED, ("central",), ""),
        ("only", ("central", "largest"), ON_BOTH),
    ],
)
def test_the_sentence_is_said_where_policies_differ(used: Any, known: Any, said: str) -> None:
    assert policy_difference(used, known) == said


def test_a_comparison_says_so_where_a_photo_shows_several_faces() -> None:
    photo = draw_face(1, 0)

    def said(model: Model, **more: Any) -> list[str]:
        result = facealike.compare(photo, photo, model, **more)
        assert all(warning in str(result) for warning in result.warnings)
        return [warning for warning in result.to_dict()["warnings"] if "was calibrated" in warning]

    assert said(learned(face="central")) == [LEARNED_ON_CENTRAL]
    assert said(learned(face="central"), face="central") == []
    assert said(learned(face="largest")) == []
    assert said(learned()) == [], "older models state no policy"
    assert said(learned(CentralBox, face="central")) == [], "with one face a photo, all mean the same"


def test_a_list_says_so_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: TwoFaces())
    learned(face="central").file.write(tmp_path / "m.facealike")
    words = [
        "compare",
        "--pairs",
        folder / "pairs.csv",
        "--root",
        folder / "people",
        "-m",
        tmp_path / "m.facealike",
    ]
    words += ["--out", tmp_path / "scores.csv"]
    for more, count in (([], 1), (["--face", "central"], 0)):
        result = CliRunner().invoke(app, [*map(str, words), *more], catch_exceptions=False)
        assert result.exit_code == 0 and result.stderr.count("calibrated on the central face") == count


def test_evaluations_name_the_policy_and_say_so(folder: Path) -> None:
    model, people, groups = learned(face="central"), folder / "people", folder / "groups.csv"
    for run in (
        lambda **more: facealike.evaluate_split(model, people, "test", **more),
        lambda **more: facealike.evaluate_exhaustive(model, people, **more),
        lambda **more: evaluate_groups(model, groups, people, resamples=2, **more),
    ):
        result = run()
        table = result.to_dict()
        assert (table["face"], table["learned_faces"]) == ("largest", ["central"])
        assert LEARNED_ON_CENTRAL in str(result)
        agreed = run(face="central")
        assert agreed.to_dict()["face"] == "central" and "was calibrated" not in str(agreed)
        own = run(threshold=0.5)
        assert own.to_dict()["learned_faces"] == [] and "was calibrated" not in str(own), "nothing learned"
    searches = facealike.evaluate_identification(model, people)
    assert searches.to_dict()["face"] == "largest" and "was calibrated" not in str(searches)
    crops = evaluate_groups(model, groups, people, aligned=True, resamples=2)
    assert crops.to_dict()["face"] == ALIGNED and "was calibrated" not in str(crops)


def test_a_threshold_carries_the_policy_of_its_own_population() -> None:
    """The probabilities keep the face of their people; the threshold of other people has its own."""
    before = Calibration(0.5, "best F1", "x", 9, face="central")
    worst = WorstGroup(0.001, Interval(0.8, 0.75, 0.84), "B, F", 4, (), 66)
    for face in ("largest", ALIGNED):
        after = for_worst_group(before, worst, "val.csv", face)  # type: ignore[arg-type]
        assert (after.face, after.threshold_face, after.faces) == ("central", face, ("central", face))
        assert Calibration.from_dict(after.to_dict()) == after
    unknown = for_worst_group(before, worst, "val.csv", None)
    assert (unknown.face, unknown.threshold_face, unknown.faces) == ("central", None, ("central",))
    assert "threshold_face" not in unknown.to_dict()
    with pytest.raises(ModelError, match="largest, central or only"):
        replace(unknown, threshold_face="all")
    with pytest.raises(ModelError, match="threshold_face belongs to threshold_people"):
        replace(before, threshold_face="largest")
    with pytest.raises(ModelError, match="largest, central or only"):
        replace(before, face=ALIGNED)  # type: ignore[arg-type]


def test_the_page_of_a_model_names_the_policy() -> None:
    changes = {"threshold_people": "B in val.csv", "threshold_pairs": 66, "threshold_face": ALIGNED}
    page = "\n".join(model_page(learned(face="central").file, 200))
    assert ", the central face of each photo" in page
    other = "\n".join(model_page(learned(face="central", **changes).file, 200))
    assert "66 pairs of B in val.csv, face crops as they are" in other
    assert "; the central face of each photo" in str(learned(face="central").calibration)
