#!/usr/bin/env python3
"""Draw the screenshots of the page of `facealike serve` in docs/assets, with Chromium and the example photos.

    python -m scripts.page_screenshots

The photos are in the public domain; see examples/photos/ORIGIN.md.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common.browser import browser, drop, served

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "docs" / "assets"
HOPPER, TURNED, COLLINS = (
    ROOT / "examples" / "photos" / f"{name}.jpg" for name in ("hopper", "hopper-turned", "collins")
)
DESK, PHONE = (960, 720), (390, 844)


def compare(page: Any) -> None:
    drop(page, "#first .drop", HOPPER)
    drop(page, "#second .drop", TURNED)
    page.wait_for_selector("#why button")


def explain(page: Any) -> None:
    compare(page)
    page.get_by_role("button", name="Why?").click()
    page.wait_for_selector("#explanation img >> nth=1")


def identify(page: Any) -> None:
    page.click("#tab-gallery")
    page.fill("#person", "Grace Hopper")
    page.set_input_files("#photos", HOPPER)
    page.click("#enroll [type=submit]")
    page.wait_for_selector("text=Grace Hopper (1 photo)")
    drop(page, "#probe .drop", TURNED)
    page.wait_for_selector("#found.match")


def cluster(page: Any) -> None:
    page.click("#tab-cluster")
    drop(page, "#many-drop", HOPPER, COLLINS, TURNED)
    page.wait_for_selector("#groups canvas >> nth=2")


SHOTS = (
    ("page-compare", compare, DESK, "light"),
    ("page-why", explain, DESK, "light"),
    ("page-gallery", identify, PHONE, "light"),
    ("page-cluster", cluster, DESK, "dark"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, browser() as chromium:
        for name, show, (width, height), scheme in SHOTS:
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            page.goto(address)
            show(page)
            page.wait_for_load_state("networkidle")
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(300)  # boxes and faces are drawn after the answer
            picture = Image.open(io.BytesIO(page.screenshot(full_page=width == DESK[0])))
            picture.convert("RGB").save(ASSETS / f"{name}.webp", quality=82, method=6)
            context.close()


if __name__ == "__main__":
    main()
