"""Build the sdist and the wheel, check what is in them, and compare the example photos with the wheel.

    python scripts/check_package.py

Needs build, hatchling and twine (``facealike[dev]``).
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from check_install import ROOT, check_verdicts, fresh_environment

SOURCE = "src/facealike/"


def sdist_members(path: Path) -> set[str]:
    """Return the files of an sdist, relative to its only folder."""
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def wheel_members(path: Path) -> set[str]:
    """Return the files of a wheel but its metadata."""
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def differences(sdist: set[str], wheel: set[str], tracked: set[str]) -> list[str]:
    """Return one sentence for each file that the two archives lack or have too many.

    Args:
        sdist: What is in the sdist: all that git tracks, and ``PKG-INFO``.
        wheel: What is in the wheel: all that git tracks of the package.
        tracked: Paths that git tracks, relative to the repository.
    """
    package = {name.removeprefix("src/") for name in tracked if name.startswith(SOURCE)}
    expected = {"the sdist": (sdist - {"PKG-INFO"}, tracked), "the wheel": (wheel, package)}
    return [
        f"{archive} {what} {name}"
        for archive, (found, wanted) in expected.items()
        for what, names in (("lacks", wanted - found), ("should not have", found - wanted))
        for name in sorted(names)
    ]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="facealike-package-") as name:
        folder = Path(name)
        build = ["-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
        subprocess.run([sys.executable, *build], check=True, stdout=subprocess.DEVNULL)
        sdist, wheel = next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], check=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
        tracked = set(filter(None, listed.stdout.split("\0")))
        wrong = differences(sdist_members(sdist), wheel_members(wheel), tracked)
        if wrong:
            sys.exit("\n".join(wrong))
        check_verdicts(fresh_environment(sys.executable, folder / "venv", str(wheel)), wheel.name)
        print(f"{sdist.name}, {wheel.name}: contents and both verdicts are right")


if __name__ == "__main__":
    main()
