"""Run a notebook cell by cell, without Jupyter: each cell shows its last value, as a notebook does.

nbclient and ipykernel would add 105 MB and 35 packages to the environment of the tests for the same answer.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

FORMATS = ("_repr_png_", "_repr_html_")


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    """The cells of a kind, ``code`` or ``markdown``."""
    found = json.loads(notebook.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def run_notebook(notebook: Path, **parameters: Any) -> list[Any]:
    """Run the code cells in one namespace and return what each of them shows, None where that is nothing.

    ``parameters`` replace the values that the cell tagged ``parameters`` has set.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for number, cell in enumerate(cells(notebook, "code")):
        source = "".join(cell["source"])
        tree = ast.parse(source, f"{notebook.name}, code cell {number}")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{notebook.name}, code cell {number}", "exec"), namespace)
        value = None
        if last is not None:
            value = eval(compile(ast.Expression(last.value), notebook.name, "eval"), namespace)
        shown.append(_display(value))
        if "parameters" in cell["metadata"].get("tags", ()):
            assert set(parameters) <= set(namespace), f"{notebook.name} has no {sorted(parameters)}"
            namespace.update(parameters)
    return shown


def _display(value: Any) -> Any:
    """A picture or HTML where the value has it, else its text."""
    for name in FORMATS:
        method = getattr(value, name, None)
        if method is not None:
            return method()
    return None if value is None else repr(value)
