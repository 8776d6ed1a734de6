"""The page in a real browser, against the default model: what a person does, by mouse and by keyboard."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from benchmarks.common.browser import CHROMIUM, MISSING, browser, drop, served
from facealike.client.client import Client
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template
from facealike.model_file.locate import read_model_file
from support.paths import ROOT
from support.service_page import opened, until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

PHOTOS = ROOT / "examples" / "photos"
HOPPER, TURNED, COLLINS = (PHOTOS / f"{name}.jpg" for name in ("hopper", "hopper-turned", "collins"))


def jpeg(picture: PillowImage.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def both() -> bytes:
    """One photo of both women, the smaller face at the left."""
    left, right = (PillowImage.open(path).convert("RGB") for path in (HOPPER, COLLINS))
    left = ImageOps.contain(left, (250, 400))
    right = ImageOps.contain(right, (450, 400))
    whole = PillowImage.new("RGB", (left.width + right.width, 400), "gray")
    whole.paste(left, (0, 0))
    whole.paste(right, (left.width, 0))
    return jpeg(whole)


def stranger() -> bytes:
    """A face that nobody enrolled has: Collins's, wider than it is."""
    picture = PillowImage.open(COLLINS).convert("RGB")
    return jpeg(picture.resize((int(picture.width * 1.4), picture.height)))


def scenery() -> bytes:
    slope = np.linspace(0, 255, 300, dtype=np.uint8)
    return jpeg(PillowImage.fromarray(np.stack([np.tile(slope, (200, 1))] * 3, axis=-1)))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the service."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def address(data: Path) -> Iterator[str]:
    with served(data) as found:
        yield found


@pytest.fixture
def large(data: Path, address: str) -> Iterator[str]:
    """The name of a gallery of 120 people with random templates."""
    path = data / "galleries" / "large.db"
    path.parent.mkdir(exist_ok=True)
    model = read_model_file("default")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 219)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with closing(SQLiteStore(path, model.id)) as store:
        store.add_many(
            (f"Person {n}", Template(one, f"{n:064x}", None, "random")) for n, one in enumerate(vectors)
        )
    yield "large"
    path.unlink()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    with opened(chromium, address) as found:
        yield found


def verdict(page: Any, place: str = "#answer") -> str:
    return str(page.locator(f"{place} .verdict").inner_text())


def compare(page: Any, first: Path | bytes, second: Path | bytes) -> None:
    drop(page, "#first .drop", first)
    drop(page, "#second .drop", second)


def used_box(page: Any, place: str) -> list[float]:
    rect = page.locator(f"{place} rect:not(.halo):not(.other)")
    rect.wait_for(state="attached")
    return [float(rect.get_attribute(name)) for name in ("x", "y", "width", "height")]


def test_two_photos_that_are_dropped_are_compared(page: Any) -> None:
    compare(page, HOPPER, COLLINS)
    assert "Different" in verdict(page)
    drop(page, "#second .drop", TURNED)
    page.wait_for_selector("#answer.same")
    assert "Same person" in verdict(page)
    assert "FMR" in page.inner_text("#answer") or "impostor" in page.inner_text("#answer")
    assert "quality" in page.inner_text("#first .caption")


def test_why_shows_the_maps_the_legend_and_the_sentence(page: Any) -> None:
    compare(page, HOPPER, TURNED)
    page.wait_for_selector("#answer.same")
    page.focus("#why button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#explanation img >> nth=1")
    assert page.locator("#why [role=status]").inner_text() == (
        "The eyes and nose carry the score in both photos; the mouth only in the second photo."
    )
    names = [one.get_attribute("alt") for one in page.locator("#explanation img").all()]
    assert names[0].startswith("First face under its map: the score is carried by ") and "eyes" in names[0]
    loaded = "[...document.querySelectorAll('#explanation img')].every((one) => one.naturalWidth > 50)"
    until(page, loaded)
    rows = page.locator("#explanation tbody tr").all_inner_texts()
    assert len(rows) == 7 and rows[1].startswith("Eyes") and "\u2212" in rows[1]
    assert ": carries the score" in page.inner_text("#explanation .legend")
    assert "Calibration: " in page.inner_text("#explanation")
    assert page.evaluate("document.activeElement.textContent") == "Why?", "the focus stays"
    page.keyboard.press("Enter")
    assert page.is_hidden("#explanation")
    drop(page, "#second .drop", COLLINS)
    page.wait_for_selector("#answer.different")
    assert page.locator("#explanation img").count() == 0, "it was of the other comparison"
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("button", name="Why?").click()
    page.wait_for_selector("#explanation table")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_photo_without_a_face_is_one_sentence(page: Any) -> None:
    compare(page, HOPPER, scenery())
    assert page.inner_text("#answer .problem").startswith("The second photo: no face found")


def test_one_of_two_faces_can_be_chosen_by_mouse_and_by_keyboard(page: Any) -> None:
    compare(page, both(), HOPPER)
    page.wait_for_selector("#answer.different")
    assert page.inner_text("#first legend") == "2 faces; which one?"
    right = used_box(page, "#first")
    page.locator("#first rect.other").click()
    page.wait_for_selector("#answer.same")
    left = used_box(page, "#first")
    assert left[0] < right[0]
    checked = page.locator("#first input[type=radio]:checked")
    assert checked.count() == 1
    checked.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#answer.different")
    assert page.evaluate("document.activeElement.type") == "radio", "the focus stays"


def test_the_box_of_a_turned_photo_lies_on_its_face(page: Any) -> None:
    upright = PillowImage.open(HOPPER).convert("RGB")
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    compare(page, jpeg(upright.rotate(90, expand=True), exif=exif), HOPPER)
    page.wait_for_selector("#answer.same")
    turned, plain = used_box(page, "#first"), used_box(page, "#second")
    assert turned == pytest.approx(plain, abs=0.05 * upright.width)
    view = page.locator("#first svg").get_attribute("viewBox")
    assert view == f"0 0 {upright.width} {upright.height}"


def test_a_person_is_enrolled_identified_and_forgotten(page: Any) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#tab-gallery")
    page.fill("#person", "Grace Hopper")
    page.set_input_files("#photos", HOPPER)
    page.click("#enroll [type=submit]")
    page.wait_for_selector("text=Grace Hopper (1 photo)")
    drop(page, "#probe .drop", TURNED)
    page.wait_for_selector("#found.match")
    assert verdict(page, "#found") == "Match: Grace Hopper."
    drop(page, "#probe .drop", stranger())
    page.wait_for_selector("#found.unknown")
    assert verdict(page, "#found").startswith("Unknown")
    page.get_by_role("button", name="Forget Grace Hopper").click()
    page.wait_for_selector("text=Nobody yet.")


def test_many_people_are_shown_in_pages_and_found_by_name(page: Any, large: str) -> None:
    page.click("#tab-gallery")
    page.fill("#name", large)
    page.press("#name", "Enter")
    page.wait_for_selector("text=The newest 50 people of 120.")
    assert page.locator("#people li").count() == 50
    assert page.inner_text("#people li >> nth=0").startswith("Person 119 (1 photo)")
    page.focus("#more")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The newest 100 people of 120.")
    assert page.evaluate("document.activeElement.id") == "more", "the focus stays"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=120 people.")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Forget Person 19"
    assert page.is_hidden("#more") and len(set(page.locator("#people li").all_inner_texts())) == 120
    page.fill("#search", "PERSON 11")
    page.wait_for_selector("text=11 people found.")
    page.fill("#search", "nobody")
    page.wait_for_selector("text=Nobody of that name.")


def test_a_folder_of_photos_is_grouped_by_person(page: Any) -> None:
    page.click("#tab-cluster")
    drop(page, "#many-drop", HOPPER, COLLINS, TURNED, scenery())
    page.wait_for_selector("#people-found.answer .verdict")
    assert verdict(page, "#people-found") == "2 people in 4 photos."
    assert "photo-4.jpg: no face found" in page.inner_text("#people-found")
    assert page.locator("#groups h3").all_inner_texts() == ["Person 1: 2 faces", "Person 2: 1 face"]
    page.wait_for_selector("#groups canvas >> nth=2")
    names = [one.get_attribute("aria-label") for one in page.locator("#groups canvas").all()]
    assert sorted(names[:2]) == ["Person 1, photo-1.jpg", "Person 1, photo-3.jpg"]
    drawn = "document.querySelector('#groups canvas').getContext('2d').getImageData(48, 48, 1, 1).data[3]"
    until(page, drawn)


def test_people_of_photos_get_the_names_of_a_gallery(page: Any, address: str) -> None:
    with Client(address) as client:
        client.enroll("staff", "Grace Hopper", HOPPER)
    page.click("#tab-cluster")
    page.fill("#many-gallery", "staff")
    drop(page, "#many-drop", HOPPER, COLLINS, TURNED)
    page.wait_for_selector("#groups canvas >> nth=2")
    assert page.locator("#groups h3").all_inner_texts() == ["Grace Hopper: 2 faces", "Person 2: 1 face"]
    names = [one.get_attribute("aria-label") for one in page.locator("#groups canvas").all()]
    assert "Grace Hopper, photo-1.jpg" in names and "Person 2, photo-2.jpg" in names
    page.fill("#many-gallery", "nobody")
    drop(page, "#many-drop", HOPPER)
    page.wait_for_selector("text=no gallery nobody")


def test_the_report_says_how_far_to_trust_the_model(page: Any) -> None:
    page.click("#tab-report")
    page.wait_for_selector("#report-body .verdict")
    assert verdict(page, "#report-body").startswith("At the threshold, about 1 in 1,000 pairs")
    rows = page.locator("table", has_text="Operating points").locator("tbody tr").all_inner_texts()
    assert len(rows) == 5 and any("in use" in row for row in rows)
    assert "4,903 calibration people" in page.inner_text("#report-body")
    assert page.locator("svg.plot path").count() == 2
    assert page.locator("table", has_text="Southeast Asian").count() == 1


def test_the_keyboard_is_enough(page: Any) -> None:
    def press_until(name: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            label = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            if name in page.evaluate(label):
                return
        raise AssertionError(f"the Tab key does not reach {name}")

    photos = iter((HOPPER, TURNED))
    page.on("filechooser", lambda chooser: chooser.set_files(next(photos)))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for name in ("First photo", "Second photo"):
        press_until(name)
        page.keyboard.press("Space")
    page.wait_for_selector("#answer.same")
    for _ in range(3):  # over the camera's button and the first photo to the tabs
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#gallery") and not page.is_visible("#compare")
    assert page.evaluate("document.activeElement.id") == "tab-gallery"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    compare(page, both(), HOPPER)
    page.wait_for_selector("#first legend")
    page.get_by_role("button", name="Why?").click()
    page.wait_for_selector("#explanation table")
    drop(page, "#many-drop", HOPPER, scenery())
    page.wait_for_selector("#groups canvas", state="attached")
    page.click("#tab-report")
    page.wait_for_selector("#report-body table")
    for tab in page.locator('[role="tab"]').all():
        tab.click()
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, [(one["id"], [node["target"] for node in one["nodes"]]) for one in serious]


def test_a_phone_needs_no_sideways_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    compare(page, both(), HOPPER)
    page.wait_for_selector("#first legend")
    for tab in page.locator('[role="tab"]').all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab.inner_text()
