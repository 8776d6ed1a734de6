from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.people import People
from facealike.detection.base import Detector
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.yunet import YuNetDetector
from facealike.embedding import crop_cache as module
from facealike.embedding.crop_cache import Crops, cached_crops
from facealike.errors import DataError, SeveralFaces, UnreadableImage, UsageError
from facealike.imaging.align import align, box_crop
from facealike.imaging.read import read_image
from facealike.types import Box, Face, Image
from support.data_paths import data_path, needs_data
from support.paths import TESTS

HERE = Path(__file__).parent
WITH_SUPPORT = {**os.environ, "PYTHONPATH": str(TESTS)}  # for programs that import this file

SIZE = 16


@dataclass(frozen=True)
class Cutting:
    """A stand-in for the model's preprocessing."""

    size: int = SIZE
    align: str = "box"
    margin: float = 0.2
    edge: str = "pad"
    context: float = 0.0

    def crop(self, image: Image, face: Face) -> Image:
        return align(image, face, self.size, self.align, self.margin, self.edge)  # type: ignore[arg-type]


class RedDetector:
    """A face wherever a photo's top left pixel says: none if black, one, or two if it is white."""

    has_landmarks = False

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.seen = 0
        self.busy = threading.Lock()

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": "red", "version": self.version}

    def detect(self, image: Image) -> list[Face]:
        assert self.busy.acquire(blocking=False), "two threads at once in a detector that is not made for it"
        try:
            self.seen += 1
            time.sleep(0.0005)
            faces = [Face(Box(2, 3, 12, 15), 1.0), Face(Box(0, 0, 5, 5), 0.5)]
            return faces[: 2 if image[0, 0].min() == 255 else int(image[0, 0].max() > 0)]
        finally:
            self.busy.release()


def photo(seed: int, corner: int = 9) -> Image:
    array = np.random.default_rng(seed).integers(1, 250, (20, 24, 3), dtype=np.uint8)
    array[0, 0] = corner
    return array


def save(path: Path, array: Image) -> Path:
    PillowImage.fromarray(array).save(path)
    return path


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Forty photos; every tenth shows nobody."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return [save(folder / f"{i:02}.png", photo(i, 0 if i % 10 == 3 else 9)) for i in range(40)]


def expected(path: Path) -> Image:
    return box_crop(read_image(path), Box(2, 3, 12, 15), SIZE)


def cut(paths: list[Path], cache: Path, detector: Detector | None = None, **options: Any) -> Crops:
    options = {"preprocessing": Cutting(), "face": "largest", **options}
    return cached_crops(paths, detector or RedDetector(), cache=cache, **options)


def check(crops: Crops, paths: list[Path]) -> None:
    """The crops are what finding and cutting without a cache gives."""
    assert len(crops) == len(paths)
    assert crops.found.tolist() == [bool(read_image(path)[0, 0].max()) for path in paths]
    where = np.flatnonzero(crops.found)
    for got, i in zip(crops.take(where), where, strict=True):
        np.testing.assert_array_equal(got, expected(paths[i]))


def test_crops_are_those_without_a_cache_and_are_made_once(tmp_path: Path, paths: list[Path]) -> None:
    detector = RedDetector()
    check(cut(paths, tmp_path / "cache", detector), paths)
    assert detector.seen == 40
    again = cut(paths, tmp_path / "cache", detector)
    check(again, paths)
    assert detector.seen == 40
    assert str(again) == "36 of 40 photos have a face crop"
    assert again.store.shape == (36, SIZE, SIZE, 3)


def test_order_subset_and_repetition_follow_the_paths(tmp_path: Path, paths: list[Path]) -> None:
    cut(paths, tmp_path / "cache")
    chosen = [paths[i] for i in (7, 3, 7, 39, 0)]
    detector = RedDetector()
    crops = cut(chosen, tmp_path / "cache", detector)
    check(crops, chosen)
    assert detector.seen == 0
    assert crops.rows[0] == crops.rows[2]


def test_take_by_mask_by_index_and_of_nobody(tmp_path: Path, paths: list[Path]) -> None:
    crops = cut(paths, tmp_path / "cache")
    np.testing.assert_array_equal(crops.take(crops.found), crops.take(np.flatnonzero(crops.found)))
    np.testing.assert_array_equal(crops.take([5, 4])[1], crops.take([4])[0])
    assert crops.take([]).shape == (0, SIZE, SIZE, 3)
    with pytest.raises(UsageError, match="without a face"):
        crops.take([2, 3])
    crops.take([0])[:] = 0  # a copy: the store stays as it is
    check(crops, paths)
    with pytest.raises(ValueError, match="read-only"):
        crops.store[0] = 0


def test_new_photos_are_added_and_changed_ones_are_new(tmp_path: Path, paths: list[Path]) -> None:
    detector = RedDetector()
    cut(paths[:30], tmp_path / "cache", detector)
    save(paths[5], photo(1005))
    paths[6].rename(paths[6].with_name("renamed.png"))
    paths[6] = paths[6].with_name("renamed.png")
    crops = cut(paths, tmp_path / "cache", detector)
    check(crops, paths)
    assert detector.seen == 30 + 10 + 1
    save(paths[5], photo(5))
    check(cut(paths, tmp_path / "cache", detector), paths)
    assert detector.seen == 41  # the crop of the old content is still there


def test_equal_photos_share_a_row(tmp_path: Path, paths: list[Path]) -> None:
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    crops = cut(paths, tmp_path / "cache")
    check(crops, paths)
    assert set(crops.rows.tolist()) == {0}


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_threads_change_nothing(tmp_path: Path, paths: list[Path], threads: int) -> None:
    one, many = cut(paths, tmp_path / "1", threads=1), cut(paths, tmp_path / "n", threads=threads)
    np.testing.assert_array_equal(one.rows, many.rows)
    np.testing.assert_array_equal(one.store, many.store)


def test_every_setting_that_shapes_a_crop_has_its_own_cache(tmp_path: Path, paths: list[Path]) -> None:
    cut(paths, tmp_path / "cache")
    others: list[dict[str, Any]] = [
        {"preprocessing": replace(Cutting(), size=20)},
        {"preprocessing": replace(Cutting(), margin=0.3)},
        {"preprocessing": replace(Cutting(), edge="clip")},
        {"face": "central"},
    ]
    for number, options in enumerate([*others, {"detector": RedDetector(version=2)}], 2):
        detector = options.pop("detector", RedDetector())
        cut(paths, tmp_path / "cache", detector, **options)
        assert detector.seen == 40
        assert len(list((tmp_path / "cache").iterdir())) == number


def test_another_version_of_the_code_has_its_own_cache(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(paths, tmp_path / "cache")
    monkeypatch.setattr(module, "CROPS_VERSION", module.CROPS_VERSION + 1)
    detector = RedDetector()
    cut(paths, tmp_path / "cache", detector)
    assert detector.seen == 40


def test_aligned_photos_are_only_resized(tmp_path: Path, paths: list[Path]) -> None:
    crops = cached_crops(paths, None, Cutting(), "largest", tmp_path / "cache")
    assert crops.found.all()
    by_pillow = PillowImage.open(paths[3]).resize((SIZE, SIZE), PillowImage.Resampling.BILINEAR)
    np.testing.assert_array_equal(crops.take([3])[0], np.asarray(by_pillow))


def test_progress_counts_every_photo(tmp_path: Path, paths: list[Path]) -> None:
    for _ in range(2):
        calls: list[tuple[int, int]] = []
        cut(paths, tmp_path / "cache", progress=lambda *call, calls=calls: calls.append(call))
        assert calls == [(i, 40) for i in range(1, 41)]


def test_no_photos_and_no_faces(tmp_path: Path, paths: list[Path]) -> None:
    assert len(cut([], tmp_path / "cache")) == 0
    crops = cut([paths[3]], tmp_path / "cache")
    assert crops.found.tolist() == [False]
    assert crops.store.shape == (0, SIZE, SIZE, 3)


def test_a_face_beside_the_photo_is_no_face(tmp_path: Path, paths: list[Path]) -> None:
    class Beside(RedDetector):
        def detect(self, image: Image) -> list[Face]:
            return [Face(Box(500, 500, 510, 510), 1.0)]

    clip = replace(Cutting(), edge="clip")
    assert not cut(paths, tmp_path / "cache", Beside(), preprocessing=clip).found.any()


# --- errors ----------------------------------------------------------------------------------------


def test_an_unreadable_photo_is_named_and_costs_nothing_that_was_done(
    tmp_path: Path, paths: list[Path]
) -> None:
    detector = RedDetector()
    paths[20].write_bytes(paths[20].read_bytes()[:100])
    with pytest.raises(UnreadableImage, match=r"20\.png: a damaged or truncated PNG"):
        cut(paths, tmp_path / "cache", detector)
    save(paths[20], photo(20))
    detector.seen = 0
    check(cut(paths, tmp_path / "cache", detector), paths)
    assert detector.seen == 20


def test_policy_only_names_the_photo_with_several_faces(tmp_path: Path, paths: list[Path]) -> None:
    save(paths[4], photo(4, corner=255))
    with pytest.raises(SeveralFaces, match=r"04\.png"):
        cut(paths, tmp_path / "cache", face="only")


def test_settings_that_contradict_each_other(tmp_path: Path, paths: list[Path]) -> None:
    with pytest.raises(UsageError, match="one face a photo"):
        cut(paths, tmp_path, face="all")
    with pytest.raises(UsageError, match="no landmarks"):
        cut(paths, tmp_path, preprocessing=replace(Cutting(), align="landmarks"))
    with pytest.raises(UsageError, match="thread"):
        cut(paths, tmp_path, threads=0)


def test_a_preprocessing_that_cuts_other_sizes_is_refused(tmp_path: Path, paths: list[Path]) -> None:
    class Wrong(Cutting):
        def crop(self, image: Image, face: Face) -> Image:
            return image

    with pytest.raises(UsageError, match=r"a crop is uint8 of shape \(16, 16, 3\)"):
        cut(paths, tmp_path / "cache", preprocessing=Wrong())


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_a_preprocessing_that_cuts_other_numbers_is_refused(
    tmp_path: Path, paths: list[Path], dtype: type[np.generic]
) -> None:
    """Found by mutation: as bytes, an int8 crop would go into the file unnoticed."""

    class Wrong(Cutting):
        def crop(self, image: Image, face: Face) -> Any:
            return np.zeros((16, 16, 3), dtype)

    with pytest.raises(UsageError, match=rf"\(16, 16, 3\), not {np.dtype(dtype).name} \(16, 16, 3\)"):
        cut(paths, tmp_path / "cache", preprocessing=Wrong())


def only_folder(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_a_cache_states_what_it_holds(tmp_path: Path, paths: list[Path]) -> None:
    cut(paths, tmp_path / "cache")
    stated = json.loads((only_folder(tmp_path / "cache") / "pipeline.json").read_text())
    assert stated["size"] == SIZE and stated["face"] == "largest"


def test_context_has_crops_of_its_own_and_none_keeps_the_old_name(tmp_path: Path, paths: list[Path]) -> None:
    """Nobody must crop again for a setting that changes no pixel of theirs."""
    for context in (0.0, 0.25):
        cached_crops(paths[:3], RedDetector(), Cutting(context=context), "largest", tmp_path / "cache")
    stated = {
        folder.name: json.loads((folder / "pipeline.json").read_text())
        for folder in (tmp_path / "cache").iterdir()
    }
    old = next(table for table in stated.values() if "context" not in table)
    assert set(old) == {"version", "detector", "size", "align", "margin", "edge", "face"}
    assert {**old, "context": 0.25} in stated.values()
    text = json.dumps(old, sort_keys=True, indent=2)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] in stated


@pytest.mark.parametrize("harm", ["short crops", "no crops", "garbage", "truncated index", "other index"])
def test_a_damaged_cache_is_an_error_that_says_what_to_delete(
    tmp_path: Path, paths: list[Path], harm: str
) -> None:
    cut(paths, tmp_path / "cache")
    folder = only_folder(tmp_path / "cache")
    index = (folder / "index.npz").read_bytes()
    if harm == "short crops":
        os.truncate(folder / "crops.u8", 36 * SIZE * SIZE * 3 - 1)
    elif harm == "no crops":
        (folder / "crops.u8").unlink()
    elif harm == "garbage":
        (folder / "index.npz").write_bytes(b"garbage")
    elif harm == "truncated index":
        (folder / "index.npz").write_bytes(index[: len(index) // 2])
    else:
        np.savez(folder / "index.npz", digests=np.zeros((2, 5), np.uint8), rows=np.zeros(2, np.int64))
    with pytest.raises(DataError, match=f"{folder.name}: this cache is damaged; delete the folder"):
        cut(paths, tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(DataError, match="this cache cannot be written"):
        cut(paths, tmp_path / "cache")


def test_a_full_disk_is_an_error_and_leaves_a_good_cache(tmp_path: Path, paths: list[Path]) -> None:
    resource = pytest.importorskip("resource")
    cut(paths[:10], tmp_path / "cache")
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pathlib import Path; from facealike.errors import DataError; import test_crop_cache as t\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({20 * SIZE * SIZE * 3}, {resource.RLIM_INFINITY}))\n"
        "try: t.cut(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]))\n"
        "except DataError as error: print(error)\n"
    )
    arguments = [sys.executable, "-c", program, str(paths[0].parent), str(tmp_path / "cache")]
    result = subprocess.run(
        arguments,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "this cache cannot be written (File too large)" in result.stdout
    check(cut(paths, tmp_path / "cache"), paths)


# --- killed, and two at a time ---------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
import test_crop_cache as t
from facealike.embedding import crop_cache as crops
crops.SAVE_EVERY = 5
paths = sorted(Path(sys.argv[1]).iterdir())
t.cut(paths, Path(sys.argv[2]), progress=lambda done, total: print(done, flush=True))
"""


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(folder), str(cache)]
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
@pytest.mark.parametrize("at", [1, 6, 23])
def test_a_killed_run_goes_on_and_gives_the_same_crops(tmp_path: Path, paths: list[Path], at: int) -> None:
    process = start(paths[0].parent, tmp_path / "cache")
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == at:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    folder = only_folder(tmp_path / "cache")
    with (folder / "crops.u8").open("ab") as file:  # rows and half a row that no index mentions
        file.write(b"\xaa" * 1000)
    detector = RedDetector()
    crops = cut(paths, tmp_path / "cache", detector)
    check(crops, paths)
    assert detector.seen <= 40 - at // 5 * 5
    fresh = cut(paths, tmp_path / "fresh")
    np.testing.assert_array_equal(crops.rows, fresh.rows)
    np.testing.assert_array_equal(crops.store, fresh.store)


def test_killed_between_any_two_writes(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on the disk at each writing of the index is a good cache, with the old index or the new."""
    monkeypatch.setattr(module, "SAVE_EVERY", 5)
    whole, moments = module.write_bytes, []

    def snapshot(path: Path, data: bytes) -> None:
        if path.name == "index.npz":
            for when in ("before", "after"):
                if when == "after":
                    whole(path, data)
                copy = tmp_path / f"copy {len(moments)}" / path.parent.name
                copy.mkdir(parents=True)
                for file in path.parent.iterdir():
                    (copy / file.name).write_bytes(file.read_bytes())
                moments.append(copy.parent)
        else:
            whole(path, data)

    monkeypatch.setattr(module, "write_bytes", snapshot)
    cut(paths, tmp_path / "cache")
    monkeypatch.setattr(module, "write_bytes", whole)
    assert len(moments) == 16
    for number, cache in enumerate(moments):
        detector = RedDetector()
        check(cut(paths, cache, detector), paths)
        assert detector.seen == 40 - 5 * ((number + 1) // 2)


@pytest.mark.skipif(os.name != "posix", reason="needs fcntl")
def test_two_writers_take_turns(tmp_path: Path, paths: list[Path]) -> None:
    writers = [start(paths[0].parent, tmp_path / "cache") for _ in range(2)]
    assert [writer.communicate(timeout=60)[0].count("\n") for writer in writers] == [40, 40]
    assert [writer.returncode for writer in writers] == [0, 0]
    detector = RedDetector()
    crops = cut(paths, tmp_path / "cache", detector)
    check(crops, paths)
    assert detector.seen == 0
    assert len(crops.store) == 36  # nothing was made twice


# --- the real thing --------------------------------------------------------------------------------


@needs_data("FACEALIKE_LFW")
@pytest.mark.parametrize("kind", ["yunet", "dlib"])
def test_lfw_killed_and_resumed(tmp_path: Path, kind: str) -> None:
    if kind == "yunet":
        data_path("FACEALIKE_YUNET")
    program = (
        "import os, sys; import test_crop_cache as t\n"
        "from facealike.embedding import crop_cache; crop_cache.SAVE_EVERY = 30\n"
        "die = lambda done, total: os.kill(os.getpid(), 9) if done == 110 else None\n"
        "t.cut_lfw(sys.argv[1], sys.argv[2], die)\n"
    )
    command = [sys.executable, "-c", program, kind, str(tmp_path / "cache")]
    assert (
        subprocess.run(
            command,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            timeout=60,
            check=False,
        ).returncode
        == -9
    )
    paths, resumed = cut_lfw(kind, str(tmp_path / "cache"))
    _, fresh = cut_lfw(kind, str(tmp_path / "fresh"))
    assert resumed.found.mean() > 0.95
    np.testing.assert_array_equal(resumed.rows, fresh.rows)
    np.testing.assert_array_equal(resumed.store, fresh.store)
    detector, cutting = real_pipeline(kind)
    for i in (0, 77, 150, 199):  # and the crops are those that the parts give one by one
        image = read_image(paths[i])
        face = max(detector.detect(image), key=lambda face: face.box.area)
        np.testing.assert_array_equal(fresh.take([i])[0], cutting.crop(image, face))


def real_pipeline(kind: str) -> tuple[Detector, Cutting]:
    if kind == "dlib":
        return DlibDetector(), Cutting(112)
    return YuNetDetector(os.environ["FACEALIKE_YUNET"], threads=1), Cutting(112, "landmarks")


def cut_lfw(kind: str, cache: str, progress: Any = None) -> tuple[list[Path], Crops]:
    paths = list(People.from_folder(os.environ["FACEALIKE_LFW"]).paths[:200])
    detector, cutting = real_pipeline(kind)
    return paths, cut(paths, Path(cache), detector, preprocessing=cutting, progress=progress)


# ---- issue 19 E: one process at a time fills a cache ---------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_a_cache_is_not_touched_while_another_process_fills_it(tmp_path: Path, paths: list[Path]) -> None:
    import fcntl

    cache = tmp_path / "cache"
    cut(paths[:5], cache)
    (folder,) = cache.iterdir()

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}

    before = content()
    done: list[Crops] = []
    thread = threading.Thread(target=lambda: done.append(cut(paths[5:15], cache)))
    with (folder / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as another process that is at work there
        thread.start()
        thread.join(0.5)
        assert thread.is_alive() and not done
        assert content() == before
    thread.join(60)
    check(done[0], paths[5:15])
    check(cut(paths[:15], cache), paths[:15])


def test_a_reduced_photo_takes_no_crop_of_the_whole_one(tmp_path: Path) -> None:
    """Found by mutation: the crops of a photo decoded at half its size were named like those of the whole."""
    path = tmp_path / "large.jpg"
    PillowImage.fromarray(np.full((90, 90, 3), 90, np.uint8)).save(path)
    content = path.read_bytes()
    for side, known in ((None, True), (80, True), (40, False), (20, False)):
        detector: Any = RedDetector()
        detector.max_side = side
        index = {hashlib.sha256(content).digest(): 0}
        maker = module._Maker(index, detector, Cutting(), "largest", strict=True)
        assert maker(path).known == known, side
