"""Generate the reference pages of the documentation from the code.

MkDocs runs this file as a hook (``mkdocs.yml``). Each page has a marker, in place of which the generated
text is put while the site is built, so the pages are always current:

    docs/reference/cli.md          <!-- commands -->   every command of the Typer app, with its options
    docs/reference/python-api.md   <!-- names -->      every public name, in the form that mkdocstrings reads
    docs/reference/recipes.md      <!-- recipes -->    every recipe that comes with facealike
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer.main import get_command

import facealike
import facealike.train
from facealike.cli import app
from facealike.train import Recipe, load_recipe, recipe_names

SECTIONS = {
    "verification": "Compare two photos",
    "embedding": "Embed photos",
    "bulk": "Embed millions of photos",
    "imaging": "Read photos",
    "detection": "Find faces",
    "quality": "Face quality",
    "types": "Faces and pairs",
    "calibration": "Thresholds and probabilities",
    "clustering": "Group photos by person",
    "auditing": "Check a folder of people",
    "video": "Faces in videos",
    "evaluation": "Evaluate a model",
    "metrics": "Metrics of scores",
    "datasets": "Data sets",
    "model_file": "Model files",
    "model_zoo": "Further models",
    "reports": "Reports",
}
"""Titles of the sections of the API page, by package; others follow under their own names."""


def commands(group: Any, name: str = "facealike") -> Iterator[tuple[str, Any]]:
    """Yield the full name of each command that is not hidden, with its click command."""
    below = getattr(group, "commands", None)
    if below is None:
        yield name, group
        return
    if group.invoke_without_command:  # a command with further ones below it
        yield name, group
    for word, command in below.items():
        if not command.hidden:
            yield from commands(command, f"{name} {word}")


def cli_reference() -> str:
    """Return a section per command: usage, help, options."""
    found = list(commands(get_command(app)))
    overview = ["| command | what it does |", "| --- | --- |"]
    overview += [f"| [`{name}`](#{anchor(name)}) | {_cell(_first_line(item))} |" for name, item in found]
    return "\n\n".join(["\n".join(overview), *(_command(name, item) for name, item in found)])


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as MkDocs and GitHub make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _first_line(item: Any) -> str:
    return " ".join((item.help or "").split("\n\n")[0].split())


def _command(name: str, item: Any) -> str:
    usage = [name, *(_usage(p) for p in item.params if p.param_type_name == "argument")]
    options = [p for p in item.params if p.param_type_name == "option"]
    usage += [_usage(p) for p in options if p.required] + ["[OPTIONS]"]
    paragraphs = [f"## {name}", f"```text\n{' '.join(usage)}\n```"]
    paragraphs += [" ".join(text.split()) for text in (item.help or "").split("\n\n")]
    if "Exit code" not in (item.help or ""):
        paragraphs.append("Exit code: 0, or 2 on an error.")
    rows = [_row(p) for p in item.params if not getattr(p, "hidden", False)]
    table = ["| argument or option | meaning | default |", "| --- | --- | --- |", *rows]
    return "\n\n".join([*paragraphs, "\n".join(table)])


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return f"{_long(parameter)} {_metavar(parameter)}"
    name = parameter.name.upper()
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _long(parameter: Any) -> str:
    return next((name for name in parameter.opts if name.startswith("--")), str(parameter.opts[0]))


def _metavar(parameter: Any) -> str:
    choices = getattr(parameter.type, "choices", None)
    return "|".join(map(str, choices)) if choices else str(parameter.metavar or parameter.type.name).upper()


def _row(parameter: Any) -> str:
    choices = getattr(parameter.type, "choices", None)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    meaning = parameter.help or ""
    if choices:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    if getattr(parameter, "multiple", False) and "repeat" not in meaning:
        meaning += " May be repeated."
    default = "required" if parameter.required else _default(parameter.default)
    return f"| {names} | {_cell(meaning)} | {default} |"


def _default(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if value is None or value is False or value in ((), [], ""):
        return ""
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def api_reference() -> str:
    """Return a section per package that has public names, as mkdocstrings blocks, and a table of errors."""
    homes: dict[str, list[str]] = {}
    errors = []
    for name in facealike.__all__:
        if name == "__version__":
            continue
        value = getattr(facealike, name)
        if isinstance(value, type) and issubclass(value, facealike.FacealikeError):
            errors.append(value)
        else:
            homes.setdefault(value.__module__.split(".")[1], []).append(name)
    order = [package for package in SECTIONS if package in homes]
    order += [package for package in homes if package not in SECTIONS]
    lines = []
    for package in order:
        lines += [f"## {SECTIONS.get(package, package.replace('_', ' ').capitalize())}", ""]
        lines += [_block(f"facealike.{name}") for name in _sorted(homes[package])]
    lines += ["## Training", "", "These names need `facealike[train]`.", ""]
    lines += [_block(f"facealike.train.{name}") for name in _sorted(facealike.train.__all__)]
    lines += ["## Errors", "", *_error_table(errors)]
    return "\n".join(lines)


def _sorted(names: list[str]) -> list[str]:
    """Return functions before classes, each in alphabetical order."""
    return sorted(names, key=lambda name: (name[0].isupper(), name.lower()))


def _block(path: str) -> str:
    return f"::: {path}\n"


def _error_table(errors: list[Any]) -> list[str]:
    rows = ["| error | derived from | exit code | raised for |", "| --- | --- | --- | --- |"]
    for error in sorted(errors, key=lambda e: (len(e.__mro__), e.__name__)):
        doc = (inspect.getdoc(error) or "").split("\n\n")[0]
        rows.append(
            f"| `{error.__name__}` | `{error.__base__.__name__}` | {error.exit_code} | {_cell(doc)} |"
        )
    return rows


def recipe_reference() -> str:
    """Return a table of the named recipes, then a section per table of a recipe: its keys and defaults."""
    lines = ["| recipe | what it is for |", "| --- | --- |"]
    lines += [f"| `{name}` | {_cell(load_recipe(name).description)} |" for name in recipe_names()]
    for table in fields(Recipe):
        spec = table.default_factory
        if is_dataclass(spec):
            lines += ["", f"## [{table.name}]", "", *_recipe_table(spec)]
    return "\n".join(lines)


def _recipe_table(spec: Any) -> list[str]:
    meanings: dict[str, str] = {}
    for kind in reversed(spec.__mro__[:-1]):
        text, _, arguments = re.sub(r"``", "`", inspect.getdoc(kind) or "").partition("\n\nArgs:\n")
        for name, meaning in re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", arguments, re.M | re.S):
            meanings[name] = " ".join(meaning.split())
    lines = [text, "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, hint in get_type_hints(spec).items():
        if key in {field.name for field in fields(spec)}:
            default = _toml(getattr(spec(), key))
            lines.append(f"| `{key}` | {_type(hint)} | `{default}` | {_cell(meanings.get(key, ''))} |")
    return lines


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(f"`{_toml(choice)}`" for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list of {get_args(hint)[0].__name__}"
    return str(hint.__name__)


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


GENERATED = {
    "reference/cli.md": ("<!-- commands -->", cli_reference),
    "reference/python-api.md": ("<!-- names -->", api_reference),
    "reference/recipes.md": ("<!-- recipes -->", recipe_reference),
}


def complete(page: str, text: str) -> str:
    """Return the text of a page of ``docs/`` with its generated part in place of the marker."""
    if page not in GENERATED:
        return text
    marker, generate = GENERATED[page]
    if marker not in text:
        raise ValueError(f"docs/{page} lacks the line {marker}")
    return text.replace(marker, generate())


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Complete a page while MkDocs builds the site."""
    return complete(page.file.src_uri, markdown)
