"""Many photos at a time: the order, what threads may share, and that nothing is left running or held."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.detection.base import Detector
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.landmarks import default_landmarks
from facealike.detection.registry import make_detector
from facealike.detection.yunet import YuNetDetector
from facealike.embedding.batching import in_batches
from facealike.embedding.crop_cache import cached_crops, stream_crops
from facealike.embedding.cropper import FaceCropper, crop_faces
from facealike.embedding.embedded_photos import embed_photos as embed_each
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import MANY, Model
from facealike.errors import ImageNotFound, ModelError, NoFaceFound, UsageError
from facealike.evaluation.embed_dataset import embed_photos
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Box, Face, Image
from support.data_paths import needs_data
from support.flat_color_model import ColourDetector, ColourModel, by_hand, make_coloured
from support.thread_checks import interrupted, left, needs_signals, none_left_behind  # noqa: F401 (a fixture)
from support.tiny_model import astronaut, tiny_model_file

CUT = Preprocessing(8, "box", 0.0, "clip")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sixty photos of one colour each; the 5th shows nobody, the 17th is none, the 30th is not there."""
    folder = make_coloured(tmp_path_factory.mktemp("people"), 20)
    paths = sorted(folder.rglob("*.png"))
    PillowImage.new("RGB", (12, 12)).save(paths[5])
    paths[17].write_bytes(b"no image")
    paths[30].unlink()
    return paths


GOOD = [i for i in range(60) if i not in (5, 17, 30)]


# ---- order, errors, progress ------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_stream_gives_what_one_photo_after_the_other_gives(
    photos: list[Path], threads: int | None, batch: int
) -> None:
    rows = list(ColourModel().stream(photos, batch=batch, threads=threads, quality=False))
    assert [(row.index, row.photo) for row in rows] == [(i, str(path)) for i, path in enumerate(photos)]
    good = [row for row in rows if row.error is None]
    assert [row.index for row in good] == GOOD and all(len(row.faces) == 1 for row in good)
    vectors = np.stack([row.faces[0].embedding for row in good])
    np.testing.assert_allclose(vectors, by_hand([photos[i] for i in GOOD]), atol=1e-6)
    bad = {row.index: row.error for row in rows if row.error is not None}
    assert {index: type(error).__name__ for index, error in bad.items()} == {
        5: "NoFaceFound",
        17: "UnreadableImage",
        30: "ImageNotFound",
    }
    assert all(str(photos[index]) in str(error) for index, error in bad.items())


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_stream_embeds_as_many_crops_at_a_time_as_asked_for(photos: list[Path], batch: int) -> None:
    model: Any = ColourModel()
    sizes: list[int] = []
    callers = set()

    def embed(crops: Any) -> Any:
        sizes.append(len(crops))
        callers.add(threading.current_thread())
        return ColourModel.embed_crops(model, crops)

    model.embed_many = embed
    rows = list(model.stream([photos[i] for i in GOOD], batch=batch, threads=1, quality=False))
    assert sizes[:-1] == [batch] * (len(sizes) - 1) and sum(sizes) == len(rows) == len(GOOD)
    assert callers == {threading.current_thread()}


def test_every_way_through_many_photos_gives_the_same(photos: list[Path], tmp_path: Path) -> None:
    model, good = ColourModel(), [photos[i] for i in GOOD]
    expected = by_hand(good)
    names = [str(path) for path in [*good[:40], photos[5], *good[40:]]]
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        steps: list[tuple[int, int]] = []
        vectors, found, _ = embed_photos(model, names, "largest", cache, lambda *s, to=steps: to.append(s))
        assert np.flatnonzero(~found).tolist() == [40] and steps == [(i, 58) for i in range(1, 59)]
        np.testing.assert_allclose(vectors[found], expected, atol=1e-6)
    for threads in (1, 3):
        crops = list(stream_crops(names, model.detector, model.preprocessing, "largest", threads))
        cached = cached_crops(
            [Path(n) for n in names], model.detector, model.preprocessing, "largest",
            tmp_path / str(threads), threads=threads,
        )  # fmt: skip
        assert crops[40] is None and not cached.found[40]
        np.testing.assert_array_equal(
            np.stack([c for c in crops if c is not None]), cached.take(cached.found)
        )


def test_a_cache_from_before_photos_were_reduced_serves_the_others_only(tmp_path: Path) -> None:
    """Crops of photos that are still taken whole stay valid; those of larger ones are made again."""
    PillowImage.new("RGB", (400, 300), (200, 90, 30)).save(tmp_path / "large.jpg")
    PillowImage.new("RGB", (150, 120), (20, 90, 130)).save(tmp_path / "small.jpg")
    paths = [tmp_path / "large.jpg", tmp_path / "small.jpg"]

    class Counting(ColourDetector):
        def __init__(self, max_side: int | None) -> None:
            self.max_side, self.seen = max_side, []

        def detect(self, image: Image) -> list[Face]:
            self.seen.append(image.shape[1])
            return super().detect(image)

    for max_side, seen in ((None, [150, 400]), (100, [100]), (100, []), (None, [])):
        detector = Counting(max_side)
        crops = cached_crops(paths, detector, CUT, "largest", tmp_path / "cache")  # type: ignore[arg-type]
        assert sorted(detector.seen) == seen and crops.found.all()


def test_model_embed_keeps_the_order_and_raises_the_first_error() -> None:
    model = Model(tiny_model_file(), "cpu")
    shades = [np.full((40, 40, 3), 5 + 4 * i, np.uint8) for i in range(3 * MANY)]
    rows = model.embed(shades, aligned=True, batch=5)
    assert np.abs(rows - model.embed_crops(np.stack([model.resize(s) for s in shades]))).max() < 1e-5
    mixed: list[Any] = [*shades, "nowhere.jpg", "nor here.jpg"]
    with pytest.raises(ImageNotFound, match="nowhere") as caught:
        model.embed(mixed, aligned=True)
    assert left() == [] and caught.value is not None
    with pytest.raises(UsageError, match="at least one thread"):
        model.embed(shades, aligned=True, threads=0)
    with pytest.raises(UsageError, match="at least one crop"):
        model.embed(shades, aligned=True, batch=0)


# ---- nothing left running ---------------------------------------------------------------------


class Enough(Exception):
    pass


def stop(*_: Any) -> None:
    raise Enough


@pytest.mark.parametrize("where", ["row", "photos", "embed", "consumer", "close", "no handler"])
def test_however_a_stream_ends_its_threads_end(photos: list[Path], where: str) -> None:
    model: Any = ColourModel()
    if where == "embed":
        model.embed_many = stop
    given = (path if i < 8 or where != "photos" else stop() for i, path in enumerate(photos))
    on_error: Any = "raise" if where == "no handler" else "skip"
    stream: Any = model.stream(given, batch=4, threads=3, on_error=on_error)
    if where == "close":
        next(stream)
        stream.close()
    elif where == "consumer":
        for _ in stream:
            break
        del stream
    elif where == "row":
        with pytest.raises(Enough), closing(stream):
            for row in stream:
                if row.error is not None:
                    stop()
    else:
        with pytest.raises(NoFaceFound if where == "no handler" else Enough) as caught:
            list(stream)
        assert caught.tb is not None  # it holds all frames, and still nothing runs on
    assert left() == []


def test_an_embedder_that_fails_is_told_and_ends_all(photos: list[Path]) -> None:
    def fail(crops: Image) -> Any:
        raise ModelError("the embedder failed")

    crops = ((i, np.zeros((8, 8, 3), np.uint8)) for i in range(1000))
    with pytest.raises(ModelError, match="the embedder failed"):
        list(in_batches(fail, crops, 4, 2))


@needs_signals
def test_ctrl_c_ends_a_stream(tmp_path: Path) -> None:
    """A whole program, interrupted while its threads are busy: one line, 130, and no file."""
    tiny_model_file().write(tmp_path / "tiny.facealike")
    (tmp_path / "photos").mkdir()
    for i in range(150):
        PillowImage.new("RGB", (300, 300), (i % 250, 90, 40)).save(tmp_path / "photos" / f"{i}.png")
    script = (
        "import facealike.imaging.scaled_jpeg as photo\n"
        "read, seen = photo.decode, []\n"
        "def told(*a, **k):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 20: print('busy', flush=True)\n"
        "    return read(*a, **k)\n"
        "photo.decode = told\n"
        "from facealike.cli import main\nmain()"
    )
    arguments = ["embed", tmp_path / "photos", "-o", tmp_path / "e.npz", "-m", tmp_path / "tiny.facealike"]
    done = interrupted(script, *map(str, arguments), after="busy")
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "facealike: interrupted"
    assert "Traceback" not in done.stderr and not (tmp_path / "e.npz").exists()


# ---- memory -----------------------------------------------------------------------------------


def test_few_photos_are_taken_ahead_of_the_consumer(photos: list[Path]) -> None:
    drawn = 0

    def endless() -> Iterator[tuple[Path, str]]:
        nonlocal drawn
        while True:
            drawn += 1
            yield photos[0], "photo"

    stream = crop_faces(FaceCropper(ColourDetector(), CUT), endless(), "largest", 2, lead=5)  # type: ignore[arg-type]
    for _ in range(20):
        next(stream)
    assert drawn <= 20 + 2 * 5
    stream.close()


def test_no_more_photos_are_decoded_at_a_time_than_there_are_threads(photos: list[Path]) -> None:
    lock, now, most = threading.Lock(), 0, 0

    class Counting(ColourDetector):
        thread_safe = True

        def detect(self, image: Image) -> list[Face]:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            faces = super().detect(image)
            with lock:
                now -= 1
            return faces

    named = [(photos[i], "photo") for i in GOOD]
    cropper = FaceCropper(Counting(), CUT)  # type: ignore[arg-type]
    assert len(list(crop_faces(cropper, named, "largest", 3))) == len(GOOD) and most <= 3


def test_errors_that_are_kept_keep_no_pixels(tmp_path: Path) -> None:
    """Forty photos of 3 MB without a face, each with its error kept: not forty photos in memory."""
    PillowImage.new("RGB", (1000, 1000)).save(tmp_path / "black.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "black.png").read_bytes()[:-30])
    paths = [tmp_path / "black.png", tmp_path / "cut.png"] * 20
    tracemalloc.start()
    try:
        errors = [row.error for row in ColourModel().stream(paths, threads=2)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(errors) == 40 and errors[0] is not None and errors[0].__traceback__ is not None
    assert held < 12 * 2**20


# ---- what threads may share -------------------------------------------------------------------


def portraits() -> list[Image]:
    image = astronaut()
    return [
        np.ascontiguousarray(v) for v in (image, image[:, ::-1], image[40:, 60:], image // 2, image[:300])
    ]


def same_in_threads(work: Callable[[Any], Any], items: list[Any]) -> None:
    """``work`` gives in four threads at once exactly what it gives one item after the other."""
    alone = [work(item) for item in items]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, items * 4))
    for got, expected in zip(together, alone * 4, strict=True):
        np.testing.assert_equal(got, expected)


def test_one_embedder_serves_all_threads() -> None:
    model = Model(tiny_model_file(), "cpu")
    crops = np.random.default_rng(3).integers(0, 256, (6, 9, 32, 32, 3), dtype=np.uint8)
    same_in_threads(model.embed_many, list(crops))
    same_in_threads(model.embed_crops, list(crops))


def test_the_shipped_embedder_serves_all_threads() -> None:
    model = Model.load(device="cpu")
    size = model.preprocessing.size
    crops = np.random.default_rng(3).integers(0, 256, (3, 2, size, size, 3), dtype=np.uint8)
    same_in_threads(model.embed_many, list(crops))


@needs_data("FACEALIKE_YUNET")
def test_one_yunet_serves_all_threads() -> None:
    detector = YuNetDetector(os.environ["FACEALIKE_YUNET"])
    assert detector.thread_safe
    same_in_threads(detector.detect, portraits())
    same_in_threads(detector.single_threaded.detect, portraits())
    assert detector.single_threaded is detector.single_threaded.single_threaded
    assert detector.single_threaded.spec == detector.spec


def test_dlib_has_an_object_for_each_thread() -> None:
    detector = DlibDetector(landmarks=default_landmarks())
    assert detector.thread_safe
    same_in_threads(detector.detect, portraits())
    objects = {id(detector._own.run.__self__)}

    def look(image: Image) -> None:
        detector.detect(image)
        objects.add(id(detector._own.run.__self__))
        meeting.wait(30)

    meeting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(look, portraits()[:2]))
    assert len(objects) == 3


def test_single_threaded_twins_are_made_once_and_only_where_threads_were_left_open() -> None:
    file = tiny_model_file()
    free = Embedder(file.embedder, file.preprocessing, "cpu")
    assert free.single_threaded is free.single_threaded is not free
    fixed = Embedder(file.embedder, file.preprocessing, "cpu", threads=2)
    assert fixed.single_threaded is fixed
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(free.single_threaded.embed(crops), free.embed(crops), atol=1e-6)


@pytest.mark.parametrize("safe", [False, True])
def test_detectors_of_others_take_turns_unless_they_say_otherwise(photos: list[Path], safe: bool) -> None:
    meeting, busy = threading.Barrier(2), threading.Lock()

    class Other(ColourDetector):
        thread_safe = safe

        def detect(self, image: Image) -> list[Face]:
            if safe:
                meeting.wait(30)  # two threads must be in here at once
            else:
                assert busy.acquire(blocking=False), "two threads at once"
                time.sleep(0.002)
                busy.release()
            return super().detect(image)

    detector: Detector = Other()  # type: ignore[assignment]
    named = [(photos[i], "photo") for i in GOOD[:20]]
    assert all(
        isinstance(faces, list) for faces in crop_faces(FaceCropper(detector, CUT), named, "largest", 2)
    )


def test_the_detectors_that_models_carry_may_be_shared() -> None:
    """A new kind that says nothing works, one thread at a time; this is to be noticed."""
    weights = default_landmarks()
    spec = DlibDetector(landmarks=weights).spec
    for detector in (make_detector({"kind": "dlib-hog", "min_confidence": 0.0, "max_side": 800}),
                     make_detector(spec, weights)):  # fmt: skip
        assert getattr(detector, "thread_safe", False)


# ---- the number of a face ---------------------------------------------------------------------


class ThreeFaces(ColourDetector):
    """Finds two equal small faces and a large one, in this order."""

    def detect(self, image: Image) -> list[Face]:
        small, large = Face(Box(0, 0, 4, 4), 0.9), Face(Box(2, 2, 12, 12), 0.8)
        return [small, small, large]


def test_a_face_has_one_number_whatever_the_policy(photos: list[Path]) -> None:
    cropper = FaceCropper(ThreeFaces(), CUT)
    assert [one.number for one in cropper(photos[0], "all")] == [1, 2, 3]
    for policy, number in (("largest", 3), ("central", 3)):
        (chosen,) = cropper(photos[0], policy)  # type: ignore[arg-type]
        assert chosen.number == chosen.to_dict()["number"] == number
    model = ColourModel()
    rows = embed_each(cropper, model.embed_many, photos[:1], "largest", "raise", 4, 1, False)
    ((embedded,),) = (row.faces for row in rows)
    assert embedded.number == embedded.to_dict()["number"] == 3
