"""From the drop of the second photo to the verdict on the page of `facealike serve`, in Chromium.

    python -m benchmarks.speed.page --write

Service, browser and this program share the machine.  "first" is the first comparison of a service and a
browser that were just started, in milliseconds of the page's own clock: upload, detection, embedding and
drawing of the verdict; "later" are further comparisons on the same page.  "large" are photos of 12
megapixels, made of the example photos.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common.browser import browser, drop, served
from benchmarks.common.record import PHOTOS, RESULTS, append_rows, circumstances

CSV = RESULTS / "page.csv"
LARGE = (3000, 4000)

WATCH = """() => {
    const slot = document.querySelector("#second .drop");
    let dropped = 0, shown;
    slot.addEventListener("drop", () => {
        dropped = performance.now();
        window.answered = new Promise((done) => { shown = done; });
    }, true);
    new MutationObserver(() => {
        if (document.querySelector("#answer .verdict")) shown(performance.now() - dropped);
    }).observe(document.getElementById("answer"), { childList: true });
}"""


def milliseconds(page: Any, photo: Path | bytes) -> float:
    """Drop the second photo; return how long the verdict took."""
    drop(page, "#second .drop", photo)
    return float(page.evaluate("window.answered"))


def large(path: Path) -> bytes:
    """A photo of 12 megapixels."""
    stream = io.BytesIO()
    Image.open(path).convert("RGB").resize(LARGE).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def one_service(photos: tuple[Path | bytes, Path | bytes], later: int) -> tuple[float, list[float]]:
    """Start a service and a browser; return the time of the first comparison, and of later ones."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, browser() as chromium:
        page = chromium.new_page()
        page.goto(address)
        page.evaluate(WATCH)
        drop(page, "#first .drop", photos[0])
        first = milliseconds(page, photos[1])
        return first, [milliseconds(page, photos[1]) for _ in range(later)]


def measure(rounds: int, later: int) -> dict[str, Any]:
    """One row."""
    load = round(os.getloadavg()[0], 1)
    row = {**circumstances("playwright", "fastapi", "onnxruntime"), "load_before": load, "rounds": rounds}
    small, big = (PHOTOS[0], PHOTOS[1]), (large(PHOTOS[0]), large(PHOTOS[1]))
    for name, photos in (("", small), ("large_", big)):
        found = [one_service(photos, later) for _ in range(rounds)]
        first = [one for one, _ in found]
        more = [one for _, many in found for one in many]
        row |= {
            f"{name}first_ms": round(float(np.median(first)), 1),
            f"{name}first_worst_ms": round(max(first), 1),
            f"{name}later_ms": round(float(np.median(more)), 1),
            f"{name}later_p95_ms": round(float(np.percentile(more, 95)), 1),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="services that are started")
    parser.add_argument("--later", type=int, default=20, help="further comparisons with each")
    parser.add_argument("--write", action="store_true", help="append the row to the results")
    options = parser.parse_args()
    row = measure(options.rounds, options.later)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
