"""One model in many threads and processes, on one device (issue 19 C3, C4, A14)."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike import Model, compare, default_detector
from facealike.detection.yunet import YuNetDetector
from facealike.embedding.cropper import FaceCropper
from facealike.embedding.embedder import Embedder
from facealike.errors import DeviceError, ModelError, UsageError
from facealike.model_file.model_file import ModelFile
from facealike.types import Box, Face
from facealike.utils.once import made_once
from facealike.utils.onnx_session import Session
from support.drawn_people import CentralBox
from support.tiny_model import hopper_path, tiny_model_file, tiny_onnx

CROPS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def tiny() -> Model:
    return Model(tiny_model_file(), "cpu", threads=1)


# ---- pickle ---------------------------------------------------------------------------------------


def test_a_model_is_pickled_as_its_file_and_options() -> None:
    model = Model.load(threads=1)
    again = pickle.loads(pickle.dumps(model))
    assert again.file == model.file and again.id == model.id and again.device == model.device
    assert again._threads == 1 and again._asked == "auto"
    photo = hopper_path()
    assert np.array_equal(again.embed([photo]), model.embed([photo]))
    assert len(pickle.dumps(model)) < len(model.file.to_bytes()) + 1000


def test_a_detector_in_its_place_travels_along() -> None:
    other = tiny().behind(CentralBox())
    assert isinstance(pickle.loads(pickle.dumps(other)).detector, CentralBox)
    assert pickle.loads(pickle.dumps(tiny().behind(None))).detector is None
    loaded = Model.load(threads=1)
    _ = loaded.detector  # its own one is made again, not carried
    assert loaded.__reduce__()[2] is None


def test_a_pickle_that_was_changed_is_refused() -> None:
    content = pickle.dumps(tiny())
    assert content.count(b"it knows nothing about people") == 1
    with pytest.raises(ModelError, match=r"damaged|SHA-256"):
        pickle.loads(content.replace(b"it knows nothing about people", b"it knows everything of people"))


def test_parts_are_pickled_too() -> None:
    detector = pickle.loads(pickle.dumps(default_detector(threads=1)))
    assert isinstance(detector, YuNetDetector) and detector.spec == default_detector().spec
    model = tiny()
    embedder = pickle.loads(pickle.dumps(model.embedder))
    assert np.array_equal(embedder.embed(CROPS), model.embedder.embed(CROPS))
    file = pickle.loads(pickle.dumps(model.file))
    assert isinstance(file, ModelFile) and file == model.file


def test_a_copy_shares_its_networks() -> None:
    model = tiny()
    assert copy.copy(model).embedder is model.embedder and copy.deepcopy(model).embedder is not model.embedder
    assert model.behind(None).embedder is model.embedder and "detector" not in vars(model)


# ---- threads --------------------------------------------------------------------------------------


def together(work: Callable[[], Any], count: int = 12) -> list[Any]:
    """What ``work`` returns in each of ``count`` threads that begin at the same moment."""
    gate, found = threading.Barrier(count), []

    def run() -> None:
        gate.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_what_is_made_once_is_made_by_one_thread_of_many() -> None:
    made = []

    class Slow:
        @made_once
        def thing(self) -> object:
            """Its words."""
            time.sleep(0.05)
            made.append(object())
            return made[-1]

    slow = Slow()
    assert len({id(each) for each in together(lambda: slow.thing)}) == 1 and len(made) == 1
    assert Slow().thing is not slow.thing and Slow.thing.__doc__ == "Its words."


def test_many_threads_open_five_sessions_and_not_fourteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector and its orientation network, their twins of one thread, and the embedder's.

    ``cached_property`` of 3.12 made more.
    """
    model = Model.load()
    opened: list[str] = []
    real = Session._opened

    def slow(self: Session) -> Any:
        opened.append(threading.current_thread().name)
        time.sleep(0.05)
        return real(self)

    monkeypatch.setattr(Session, "_opened", slow)

    def use() -> None:
        _ = model.detector.single_threaded, model.embedder.single_threaded  # type: ignore[attr-defined]

    together(use)
    assert len(opened) == 5


class Delicate:
    """A detector that notices two calls at a time."""

    has_landmarks = False
    weights = None
    spec: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.inside = 0
        self.overlaps = 0

    def detect(self, image: Any) -> list[Face]:
        self.inside += 1
        time.sleep(0.005)
        self.overlaps += self.inside > 1
        self.inside -= 1
        return [Face(Box(0, 0, 10, 10), 1.0, None)]


def test_a_delicate_detector_is_called_by_one_at_a_time_whoever_calls() -> None:
    """The lock is the detector's: each call below makes a ``FaceCropper`` of its own, as two callers do."""
    detector = Delicate()
    model = tiny().behind(detector)
    photo = np.zeros((40, 40, 3), np.uint8)
    together(lambda: (model.faces(photo), FaceCropper(detector, model.preprocessing)(photo, "largest", "it")))
    assert detector.overlaps == 0
    detector.thread_safe = True  # type: ignore[attr-defined]
    together(lambda: model.faces(photo))
    assert detector.overlaps > 0  # so the test could fail


# ---- fork -----------------------------------------------------------------------------------------

FORK = """
import os, signal, sys, atexit
import numpy as np
from facealike import Model
model = Model.load(threads=THREADS)
photo = PHOTO
before = model.embed([photo])
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        atexit.register(lambda: print("atexit", flush=True))
        same = np.abs(model.embed([photo]) - before).max() < 1e-6
        print("same" if same else "other")
        sys.exit(5)  # by way of all exit handlers, as gunicorn's workers end
    children.append(child)
for child in children:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert np.array_equal(model.embed([photo]), before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("threads", [0, 1])
def test_a_loaded_model_works_in_forked_processes_which_end(threads: int) -> None:
    """As in ``gunicorn --preload``: with onnxruntime 1.32 the children hung at exit."""
    script = FORK.replace("THREADS", str(threads)).replace("PHOTO", repr(hopper_path()))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["5", "5", "atexit", "atexit", "same", "same"]


def test_an_abandoned_session_is_opened_again_and_only_then() -> None:
    session = Session(tiny_onnx(8, 2), "it", threads=1)
    feeds = {session.get_inputs()[0].name: np.ones((1, 3, 8, 8), np.float32)}
    first, before = session._session, session.run(None, feeds)[0]
    assert session._session is first
    session.abandon()
    assert session._session is None
    assert np.array_equal(session.run(None, feeds)[0], before) and session._session is not first


def test_cuda_is_refused_after_a_fork_with_the_cure() -> None:
    session = Session(tiny_onnx(8, 2), "it", threads=1)
    session._providers = (("CUDAExecutionProvider", {"device_id": 0}),)
    session.abandon()
    with pytest.raises(DeviceError, match="load the model in each worker"):
        session.run(None, {})
    embedder = tiny().embedder
    embedder._session._providers = ("CUDAExecutionProvider",)
    embedder._session.abandon()
    with pytest.raises(DeviceError, match="forked"):
        embedder.embed(CROPS)


# ---- device ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cuda:7", "cuda:0", "tpu"])
def test_a_device_beside_a_loaded_model_is_never_ignored(device: str) -> None:
    """Issue 19 A14."""
    model, photo = tiny(), CROPS[0]
    with pytest.raises(UsageError, match="loaded on cpu already and cannot run on"):
        compare(photo, photo, model, aligned=True, device=device)
    for same in ("auto", "cpu"):
        assert compare(photo, photo, model, aligned=True, device=same).device == "cpu"


def test_every_function_that_takes_a_device_is_known() -> None:
    """Whoever adds one beside a model must think of the loaded one: see ``device.check_same``."""
    import inspect

    import facealike

    takers = {
        name for name in facealike.__all__
        if callable(value := getattr(facealike, name)) and not isinstance(value, type)
        and "device" in inspect.signature(value).parameters
    }  # fmt: skip
    assert takers == {"audit", "cluster", "compare", "explain", "track_faces", "verify_model"}
    assert "device" in inspect.signature(Embedder).parameters and Path(facealike.__file__).is_file()
