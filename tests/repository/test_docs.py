"""The documents keep up with the code, and nothing tracked tells of the machine it was written on."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import facealike
import facealike.train
from facealike.train import load_recipe, recipe_names
from support.commands import COMMANDS
from support.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDERS = ("docs", "examples", "benchmarks")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])


def reference() -> Any:
    """The script that makes the reference pages."""
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "scripts" / "docs_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = reference()


def page(name: str) -> str:
    """A page of docs/ as the site shows it, with its generated part."""
    return str(REFERENCE.complete(name, (ROOT / "docs" / name).read_text("utf-8")))


CLI, API, RECIPES = map(page, ("reference/cli.md", "reference/python-api.md", "reference/recipes.md"))


def sections(text: str) -> dict[str, str]:
    """The text below each heading of the second level, by that heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- the command line -------------------------------------------------------------------------------


def test_the_walk_sees_the_commands() -> None:
    assert {"facealike compare", "facealike data lfw", "facealike model info"} <= set(COMMANDS)
    assert "--threshold" in COMMANDS["facealike compare"]


def test_every_command_has_a_section_and_no_other_has_one() -> None:
    documented = {heading for heading in sections(CLI) if heading.startswith("facealike ")}
    assert documented == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_every_option_and_the_exit_codes(name: str) -> None:
    text = sections(CLI)[name]
    missing = [option for option in COMMANDS[name] if f"`{option}`" not in text]
    assert not missing, f"docs/reference/cli.md, {name}: {missing}"
    assert "Exit code: 0" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_no_option_that_is_not_there(name: str) -> None:
    listed = "".join(re.findall(r"^\| (.+?) \|", sections(CLI)[name], re.MULTILINE))
    named = {option.replace("--no-", "--") for option in re.findall(r"`(--[a-z-]+)`", listed)}
    assert named <= set(COMMANDS[name])


def test_the_first_lines_list_every_command() -> None:
    overview = CLI.partition("## facealike")[0]
    for name in COMMANDS:
        assert re.search(rf"^\| \[`{name}`\]", overview, re.MULTILINE), f"docs/reference/cli.md: {name}"


def test_every_exit_code_is_explained() -> None:
    values = [getattr(facealike, name) for name in facealike.__all__]
    codes = {value.exit_code for value in values if is_error(value)} | {0, 1, 70, 130, 141}
    table = sections(CLI)["What all commands share"]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, facealike.FacealikeError)


def test_a_page_without_its_marker_is_refused() -> None:
    with pytest.raises(ValueError, match=r"docs/reference/cli\.md lacks the line"):
        REFERENCE.complete("reference/cli.md", "# The command line")
    assert REFERENCE.complete("index.md", "text") == "text"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_in_the_page_of_recipes(name: str) -> None:
    assert f"| `{name}` | " in RECIPES


def test_every_key_of_a_recipe_is_in_the_page_of_recipes() -> None:
    for table, keys in asdict(load_recipe("lfw")).items():
        if isinstance(keys, dict):
            text = sections(RECIPES)[f"[{table}]"]
            assert not [key for key in keys if f"\n| `{key}` | " not in text], table


# --- the library ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", facealike.__all__)
def test_every_public_name_is_in_the_api_page(name: str) -> None:
    places = (f"\n::: facealike.{name}\n", f"\n| `{name}` | ", f"`facealike.{name}`")
    assert any(place in API for place in places), f"docs/reference/python-api.md does not explain {name}"


@pytest.mark.parametrize("name", facealike.train.__all__)
def test_every_public_name_of_training_is_in_the_api_page(name: str) -> None:
    assert f"\n::: facealike.train.{name}\n" in API


def test_the_api_page_names_nothing_that_is_not_public() -> None:
    named = set(re.findall(r"^::: facealike\.(\w+)$", API, re.MULTILINE))
    assert len(named) > 25 and named <= set(facealike.__all__)


# --- links ------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))


def whole(path: Path) -> str:
    """A page with its generated part."""
    docs = (ROOT / "docs").resolve()
    below = path.resolve().is_relative_to(docs)
    return page(path.resolve().relative_to(docs).as_posix()) if below else path.read_text("utf-8")


def anchor(heading: str) -> str:
    """What a heading is called in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        if fragment and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", whole(target), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{page.name}: {link} names no heading"


# --- what must not be told --------------------------------------------------------------------------

# Spelt in pieces, for this file is searched too.
TELLTALES = [
    "/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/op" + "t/", "find" + "-links", "index" + "-url",
    "py" + "pi.org", "pythonhosted" + ".org", "trusted" + "-host",
]  # fmt: skip


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.decode().split("\0") if name]


def test_no_tracked_file_tells_of_this_machine() -> None:
    files = tracked()
    assert Path(__file__) in files or len(files) > 50
    found = []
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path.relative_to(ROOT)}: {word!r}" for word in TELLTALES if word.encode() in content]
    assert not found


def test_no_photo_is_tracked_but_those_of_the_examples() -> None:
    photos = {
        path.relative_to(ROOT) for path in tracked() if path.suffix.lower() in {".jpg", ".jpeg", ".tgz"}
    }
    examples = {Path("examples/photos") / f"{name}.jpg" for name in ("hopper", "hopper-turned", "collins")}
    assert photos <= examples


def test_the_project_file_names_only_what_is_there() -> None:
    """Issue 19 F: it named a file that was gone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = [
        *project["tool"]["ruff"]["lint"].get("per-file-ignores", {}),
        *project["tool"]["ruff"]["src"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
        project["tool"]["hatch"]["version"]["path"],
        *project["tool"]["mypy"]["files"],
        *project["project"]["license-files"],
        project["project"]["readme"],
    ]
    missing = [name for name in named if not list(ROOT.glob(name))]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_no_bracket_mixes_units(page: Path) -> None:
    """Issue 19 A13: ``0.017 % [7.4e-05, 0.025 %]`` stood in the tables of groups."""
    rates = re.findall(
        r"([0-9.e-]+(?: %)?) \[([0-9.e-]+(?: %)?), ([0-9.e-]+(?: %)?)\]", page.read_text("utf-8")
    )
    mixed = [
        (rate, low, high)
        for rate, low, high in rates
        if low.endswith("%") != high.endswith("%") or ("%" in rate + low and "e-" in rate + low + high)
    ]
    assert not mixed, mixed[:3]


def test_the_readme_begins_with_how_to_install() -> None:
    """Issue 19 D7, A3: the first block installs with pip; no threshold of the old script is carried over."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.split("```")[1].startswith("console\n$ pip install facealike")
    assert "--threshold 0.5" not in text and "thresholds do not carry over" in text


# --- pinned versions --------------------------------------------------------------------------------


def test_everything_that_is_asked_for_is_pinned_at_a_version_that_fits() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    own = "facealike["  # an extra that includes another
    asked = [*project["project"]["dependencies"], *extras["export"], *extras["train"]]
    asked += [*extras["docs"], *extras["dev"]]
    asked = [requirement for requirement in asked if not requirement.startswith(own)]
    for requirement in map(Requirement, [*asked, *project["build-system"]["requires"]]):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} against {version}"
    assert not [version for version in pinned.values() if "+" in version]  # those of one machine only


# --- the site and the files of the project ------------------------------------------------------------


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")[1]
    listed = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")
    )


def test_the_site_loads_nothing_from_a_network() -> None:
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in (".md", ".css", ".svg"):
            text = path.read_text("utf-8")
            assert not re.search(r"(?:src=[\"']|!\[[^]]*\]\(|@import |url\()[\"']?https?:", text), path
    assert "font: false" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f'version: "{facealike.__version__}"' in citation and "license: Apache-2.0" in citation


def test_pre_commit_runs_what_make_lint_runs() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\nlint:")[1].split("\n\n")[0]
    checks = [re.sub(r"^(\$\(RUN\) |\$\(VENV\)/bin/)", "", line.strip()) for line in recipe.splitlines()[1:]]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    entries = re.findall(r"entry: \.venv/bin/(?:python -m )?(.+)", hooks)
    assert checks == entries
