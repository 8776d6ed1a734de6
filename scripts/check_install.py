"""Install the base package on every Python that is here, and compare the example photos with it.

    python scripts/check_install.py [PYTHON...]

The oldest Python gets the lowest version of each dependency that ``pyproject.toml`` allows, the others the
newest that it allows.  A Python that is not on the machine is named and left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("python3.10", "python3.12", "python3.13")
PHOTOS = ROOT / "examples" / "photos"
NAMED = {"numpy", "onnxruntime", "pillow", "typer", "rich", "tomli"}
VERDICTS = {"hopper-turned.jpg": 0, "collins.jpg": 1}  # beside hopper.jpg: the exit codes of ``compare``


def lowest_versions(pyproject: str) -> list[str]:
    """``name==version`` for each ``name>=version`` of the base dependencies."""
    listed = re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    assert listed is not None, "no dependencies in pyproject.toml"
    found = re.findall(r'^\s*"([A-Za-z0-9_-]+)>=([0-9.]+)', listed[1], re.MULTILINE)
    assert len(found) == listed[1].count(">="), "a dependency without a lowest version"
    return [f"{name}=={version}" for name, version in found]


def fresh_environment(python: str, folder: Path, *requirements: str) -> Path:
    """Make a virtual environment in ``folder``, install into it, and return its Python."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(inside), "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *requirements], check=True, env=plain_environment())
    return inside


def plain_environment() -> dict[str, str]:
    """Return the environment variables without those that change what pip or Python does."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}


def check_verdicts(python: Path, name: str) -> None:
    """Compare the example photos; SystemExit, naming ``name``, unless both verdicts are right."""
    for photo, expected in VERDICTS.items():
        done = subprocess.run(
            [str(python), "-m", "facealike", "compare", str(PHOTOS / "hopper.jpg"), str(PHOTOS / photo)],
            capture_output=True, text=True, cwd=python.parent, env=plain_environment(),
        )  # fmt: skip
        if done.returncode != expected:
            print(done.stdout, done.stderr, sep="\n")
            sys.exit(f"{name}: {photo}: exit code {done.returncode}, not {expected}")


def check(name: str, python: str, lowest: bool) -> None:
    """Raise CalledProcessError or SystemExit unless a fresh install of the base package works."""
    with tempfile.TemporaryDirectory(prefix="facealike-base-") as folder:
        pins = Path(folder) / "pins.txt"
        allowed = (ROOT / "pyproject.toml").read_text("utf-8")
        pins.write_text("\n".join(lowest_versions(allowed) if lowest else []))
        inside = fresh_environment(python, Path(folder) / "venv", "-c", str(pins), str(ROOT))
        check_verdicts(inside, name)
        listed = subprocess.run(
            [str(inside), "-m", "pip", "freeze"],
            capture_output=True, text=True, check=True, env=plain_environment(),
        )  # fmt: skip
        versions = [line for line in listed.stdout.split() if line.partition("==")[0].lower() in NAMED]
        kind = " with the lowest versions" if lowest else ""
        print(f"{name}{kind}: both verdicts are right; {', '.join(versions)}", flush=True)


def executable(python: str) -> str | None:
    """The Python of this name that runs, also behind a launcher of pyenv; None where there is none."""
    path = shutil.which(python)
    if path is None:
        return None
    env = dict(os.environ)
    if shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True).stdout
        env["PYENV_VERSION"] = ":".join(listed.split())
    done = subprocess.run(
        [path, "-c", "import sys, venv; print(sys.executable)"], capture_output=True, text=True, env=env
    )
    return done.stdout.strip() if done.returncode == 0 else None


def main() -> None:
    asked = sys.argv[1:] or list(PYTHONS)
    for python in asked:
        path = executable(python)
        if path is None:
            print(f"{python} is not on this machine: not checked")
        else:
            check(python, path, lowest=python == PYTHONS[0])


if __name__ == "__main__":
    main()
