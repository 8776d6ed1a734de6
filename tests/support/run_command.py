"""Run a command of the command line in this process."""

from __future__ import annotations

import pytest

from facealike.cli import app


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        app([str(each) for each in arguments])
    out, err = capsys.readouterr()
    code = stopped.value.code
    return (code if isinstance(code, int) else 0), out, err
