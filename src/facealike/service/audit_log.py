"""The audit log: who enrolled, identified, verified or forgot in which gallery, when, and how it ended.

One JSON object a line.  It holds no name of a person, no score and no photo: what is forgotten must not live
on in a log.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ..errors import ServiceError

LOG = logging.getLogger("facealike.service")

Action: TypeAlias = Literal["enroll", "identify", "verify", "forget"]


class AuditLog:
    """The file of a service's audit log, which is only appended to.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._lock, self._cut = threading.Lock(), False
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o600)

    def write(self, action: Action, gallery: str, caller: str, outcome: str, **counts: Any) -> None:
        """Append one entry; it is on the disk when this returns.

        Raises:
            ServiceError: It cannot be written.
        """
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = {"time": time, "action": action, "gallery": gallery, "key": caller, "outcome": outcome}
        line = (json.dumps({**entry, **counts}) + "\n").encode()
        with self._lock:
            try:
                # What a full disk has cut off must not run into the next entry.
                written = os.write(self._file, b"\n" * self._cut + line) - self._cut
                self._cut = written < len(line)
                os.fsync(self._file)
            except OSError as error:
                reason = error.strerror
            else:
                reason = "the disk is full" if self._cut else ""
        if reason:
            LOG.error("the audit log cannot be written (%s)", reason)
            raise ServiceError(
                f"the audit log cannot be written ({reason}), and without it nothing is answered; free some "
                "space on the disk of the service, or let it write there",
                503,
            )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
