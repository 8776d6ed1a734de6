"""Every command of the command line and its options, as the parser has them."""

from __future__ import annotations

from collections.abc import Iterator

from typer.main import get_command

from facealike.cli import app


def commands(group: object, name: str = "facealike") -> Iterator[tuple[str, list[str]]]:
    """Every command's full name with the long forms of its options that are not hidden."""
    below = getattr(group, "commands", None)
    if below is None:
        if group.hidden:  # type: ignore[attr-defined]
            return
        shown = [p for p in group.params if not getattr(p, "hidden", False)]  # type: ignore[attr-defined]
        options = [o for p in shown for o in p.opts if o.startswith("--")]
        yield name, [option for option in options if option != "--help"]
        return
    if group.invoke_without_command:  # type: ignore[attr-defined]
        yield name, [o for p in group.params for o in p.opts if o.startswith("--")]  # type: ignore[attr-defined]
    for word, command in below.items():
        yield from commands(command, f"{name} {word}")


COMMANDS = dict(commands(get_command(app)))
