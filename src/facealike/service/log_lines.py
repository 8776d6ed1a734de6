"""The lines of the service's log: text for people, or one JSON object a line for programs.

Neither holds a name of a person or a file, a score or a vector: see ``observer``.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any, Literal

REQUEST = "facealike_request"
"""The attribute of a log record that holds the fields of an answered request."""

TEXT = "%(asctime)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, and the fields of a request or a message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        request = getattr(record, REQUEST, None)
        entry |= {"message": record.getMessage()} if request is None else request
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def start_log(kind: Literal["text", "json", "none"]) -> None:
    """Write the log of this process to stderr; with ``none`` only what went wrong, as text."""
    if kind == "none":
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if kind == "json" else logging.Formatter(TEXT))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("facealike.service").setLevel(logging.INFO)
