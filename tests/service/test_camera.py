"""Taking a photo on the page: Chromium's camera is a video of a portrait."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from benchmarks.common.browser import CHROMIUM, MISSING, browser, drop, served
from support.paths import ROOT
from support.service_page import opened, until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

HOPPER, TURNED = (ROOT / "examples" / "photos" / f"{name}.jpg" for name in ("hopper", "hopper-turned"))
SIZE = (640, 480)  # of the camera's picture
ALLOWED = {"permissions": ["camera"]}

KEEP_STREAMS = """
    window.streams = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (asked) => {
        while (window.asking) await new Promise(requestAnimationFrame);
        const stream = await ask(asked);
        window.streams.push(stream);
        return stream;
    };
"""
"""Keeps the streams that the page got; while ``asking``, the person has not answered the browser."""

ENDED = "streams.every((one) => one.getTracks().every((track) => track.readyState === 'ended'))"


def seen() -> PillowImage.Image:
    """What the camera sees: the portrait at the left of a gray room, unlike its mirror image."""
    room = PillowImage.new("RGB", SIZE, (90, 100, 110))
    portrait = ImageOps.contain(PillowImage.open(HOPPER).convert("RGB"), SIZE)
    room.paste(portrait, (0, 0))
    return room


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera sees the portrait."""
    av = pytest.importorskip("av")
    clip = tmp_path_factory.mktemp("camera") / "portrait.y4m"
    with av.open(str(clip), "w", format="yuv4mpegpipe") as video:
        stream = video.add_stream("wrapped_avframe", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        frame = av.VideoFrame.from_image(seen()).reformat(format="yuv420p")
        for number in range(2):
            frame.pts = number
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    fake = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}")
    with browser(*fake) as found:
        yield found


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The page of a person who allows the camera."""
    with opened(chromium, address, before=KEEP_STREAMS, **ALLOWED) as found:
        yield found


def open_camera(page: Any, slot: str = "First photo") -> None:
    page.get_by_role("button", name=f"{slot}: take a photo").click()
    page.wait_for_selector("#camera-status:has-text('The camera is on.')")


def status(page: Any) -> str:
    return str(page.inner_text("#camera-status"))


def picture(page: Any, image: str) -> np.ndarray:
    """The pixels of an image of the page, as its file has them."""
    drawn = page.evaluate(
        """async (name) => {
            const image = document.querySelector(name);
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL().split(",")[1];
        }""",
        image,
    )
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(drawn))).convert("RGB"), dtype=float)


def test_a_photo_that_is_taken_is_compared_and_sent_only_by_use(page: Any) -> None:
    drop(page, "#second .drop", TURNED)
    sent: list[str] = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    open_camera(page)
    page.keyboard.press("Enter")  # the focus is on Take
    page.wait_for_selector("#taken:not([hidden])")
    assert status(page) == "This is the photo. Use it, or retake it."
    page.click("#retake")
    assert page.is_visible("#live") and page.is_hidden("#taken")
    page.keyboard.press("Enter")
    page.wait_for_selector("#taken:not([hidden])")
    assert not sent and not page.evaluate(ENDED)
    page.keyboard.press("Enter")  # and then on Use
    page.wait_for_selector("#answer.same")
    assert page.is_hidden("#camera") and page.evaluate(f"streams.length === 1 && {ENDED}")
    assert [one.rsplit("/", 1)[1] for one in sent] == ["compare"]
    assert page.evaluate("document.activeElement.ariaLabel") == "First photo: take a photo", (
        "the focus returns"
    )


def test_the_preview_is_a_mirror_and_the_photo_is_not(page: Any) -> None:
    open_camera(page)
    assert page.evaluate("getComputedStyle(document.getElementById('live')).transform").startswith(
        "matrix(-1,"
    )
    page.click("#take")
    page.wait_for_selector("#taken:not([hidden])")
    assert page.evaluate("getComputedStyle(document.getElementById('taken')).transform") == "none"
    page.click("#use")
    photo, expected = picture(page, "#first img"), np.asarray(seen(), dtype=float)
    assert photo.shape == expected.shape
    assert np.abs(photo - expected).mean() < 6 < 30 < np.abs(photo - expected[:, ::-1]).mean()


@pytest.mark.parametrize("close", ["Cancel", "Escape", "Escape after Take", "before the answer"])
def test_the_camera_is_off_when_the_dialog_closes(page: Any, close: str) -> None:
    if close == "before the answer":
        page.evaluate("window.asking = true")
        page.get_by_role("button", name="First photo: take a photo").click()
        assert status(page) == "Waiting for the camera …"
        page.keyboard.press("Enter")  # Take does nothing yet
        page.keyboard.press("Escape")
        page.evaluate("window.asking = false")
        until(page, "streams.length === 1")
    else:
        open_camera(page)
        assert not page.evaluate(ENDED)
        if close == "Escape after Take":
            page.click("#take")
            page.wait_for_selector("#taken:not([hidden])")
        if close == "Cancel":
            page.click("#cancel")
        else:
            page.keyboard.press("Escape")
    until(page, ENDED)
    assert page.is_hidden("#camera") and page.locator("#first img").count() == 0
    assert page.evaluate("document.getElementById('live').srcObject === null")


def test_photos_are_taken_to_enroll_and_to_identify(page: Any) -> None:
    page.click("#tab-gallery")
    page.fill("#person", "Grace Hopper")
    page.set_input_files("#photos", TURNED)
    open_camera(page, "Photos to enroll")
    page.click("#take")
    page.click("#use")
    assert page.inner_text("#enrolled") == "2 photos to enroll."
    page.click("#enroll [type=submit]")
    page.wait_for_selector("text=Grace Hopper (2 photos)")
    open_camera(page, "Photo to identify")
    page.click("#take")
    page.click("#use")
    page.wait_for_selector("#found.match")
    assert page.inner_text("#found .verdict") == "Match: Grace Hopper."


def test_a_refusal_is_one_sentence(chromium: Any, address: str) -> None:
    with opened(chromium, address) as page:
        page.get_by_role("button", name="First photo: take a photo").click()
        page.wait_for_selector("#camera-status.problem")
        assert status(page) == "This page may not use the camera; allow it in the browser, or choose a file."
        assert page.is_hidden("#take") and page.evaluate("document.activeElement.id") == "cancel"


@contextmanager
def cameras(chromium: Any, number: int) -> Iterator[Any]:
    """A browser with so many cameras, which see Chromium's own moving picture."""
    fake = f"--use-fake-device-for-media-stream=device-count={number}"
    found = chromium.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox", fake])
    yield found
    found.close()


def test_no_camera_is_one_sentence(chromium: Any, address: str) -> None:
    with cameras(chromium, 0) as none, opened(none, address, **ALLOWED) as page:
        page.get_by_role("button", name="First photo: take a photo").click()
        page.wait_for_selector("#camera-status.problem")
        assert status(page) == "No camera was found; connect one, or choose a file."


def test_one_of_several_cameras_can_be_chosen(chromium: Any, address: str) -> None:
    with cameras(chromium, 2) as two, opened(two, address, before=KEEP_STREAMS, **ALLOWED) as page:
        open_camera(page)
        names = page.locator("#cameras option").all_inner_texts()
        assert len(set(names)) == 2 and all(names)
        used = "streams.at(-1).getVideoTracks()[0].label"
        other = next(one for one in names if one != page.evaluate(used))
        page.focus("#cameras")
        page.select_option("#cameras", label=other)
        until(page, f"streams.length === 2 && {used} === '{other}'")
        page.wait_for_selector("#camera-status:has-text('The camera is on.')")
        assert page.evaluate("streams[0].getTracks()[0].readyState") == "ended", "one camera at a time"
        assert page.evaluate("document.activeElement.id") == "cameras", "the focus stays"


def test_a_rear_camera_is_no_mirror_and_its_end_is_one_sentence(chromium: Any, address: str) -> None:
    rear = "MediaStreamTrack.prototype.getSettings = () => ({ facingMode: 'environment' });"
    with opened(chromium, address, before=KEEP_STREAMS + rear, **ALLOWED) as page:
        open_camera(page)
        assert page.evaluate("getComputedStyle(document.getElementById('live')).transform") == "none"
        page.evaluate("streams[0].getTracks()[0].dispatchEvent(new Event('ended'))")
        assert status(page).startswith("The camera does not answer;")


def test_without_cameras_of_the_browser_there_is_no_button(chromium: Any, address: str) -> None:
    insecure = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"
    with opened(chromium, address, before=insecure) as page:
        assert page.locator("#tab-compare").is_visible()
        page.wait_for_selector("#first .drop")
        assert page.locator("button:has-text('Take a photo')").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dialog_is_accessible_and_fits_a_phone(page: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    open_camera(page)
    for state in ("live", "taken"):
        if state == "taken":
            page.click("#take")
            page.wait_for_selector("#taken:not([hidden])")
        found = Axe().run(page).response["violations"]
        serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, (state, serious)
        inside = (
            "(box) => box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight"
        )
        assert page.evaluate(f"({inside})(document.getElementById('camera').getBoundingClientRect())"), state
        assert page.evaluate(
            "(one => one.scrollHeight <= one.clientHeight)(document.getElementById('camera'))"
        )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || !!document.activeElement.closest('#camera')"
        assert page.evaluate(inside), "the focus stays in the dialog"
