"""The audit log: who enrolled, identified, verified or forgot in which gallery, when, and how it ended.

One JSON object a line.  It holds no name of a person, no score and no photo: what is forgotten must not live
on in a log.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

Action: TypeAlias = Literal["enroll", "identify", "verify", "forget"]


class AuditLog:
    """The file of a service's audit log, which is only appended to.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o600)

    def write(self, action: Action, gallery: str, caller: str, outcome: str, **counts: Any) -> None:
        """Append one entry; it is on the disk when this returns."""
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = {"time": time, "action": action, "gallery": gallery, "key": caller, "outcome": outcome}
        line = json.dumps({**entry, **counts}) + "\n"
        with self._lock:
            os.write(self._file, line.encode())
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
