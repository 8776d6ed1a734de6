"""A figure that notebooks show.

Figures here are made without pyplot, so the hooks that pyplot has in a notebook do not see them.  Imported
inside functions only, since it loads matplotlib.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that a notebook shows where it is the last value of a cell, as ``result.plot().figure``."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()
