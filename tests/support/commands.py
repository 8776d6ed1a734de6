"""Every command of the command line and its options, as the parser has them."""

from __future__ import annotations

from collections.abc import Iterator

from typer.main import get_command

from facealike.cli import app


def commands(group: object, name: str = "facealike") -> Iterator[tuple[str, list[str]]]:
    """Every command's full name with the long forms of its options, as the parser has them."""
    below = getattr(group, "commands", None)
    if below is None:
        options = [o for p in group.params for o in p.opts if o.startswith("--")]  # type: ignore[attr-defined]
        yield name, [option for option in options if option != "--help"]
        return
    for word, command in below.items():
        yield from commands(command, f"{name} {word}")


COMMANDS = dict(commands(get_command(app)))
