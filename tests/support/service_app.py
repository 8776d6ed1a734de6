"""A service in this process: a tiny model that finds a face in the middle of every photo, and its client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from facealike import Model
from facealike.calibration.calibration import Calibration
from facealike.model_file.model_file import ModelFile
from facealike.service.application import make_app
from facealike.service.settings import ServiceSettings
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import tiny_model_file

LOCAL = "http://127.0.0.1:8000"


def service_model() -> Model:
    """A model with a calibration, so that searches have a threshold."""
    file: ModelFile = tiny_model_file()
    tail = tuple((0.5 + 0.05 * step, 10.0**-step) for step in range(6))
    calibration = Calibration(0.9, "FMR 0.001", "drawn people", 100, {"fmr": 0.001}, tail=tail)
    changed = ModelFile(
        file.embedder, file.preprocessing, file.detector_spec, file.detector_weights, file.card, calibration
    )
    return Model(changed, "cpu", threads=1).behind(CentralBox())


def settings(folder: Path, **changes: Any) -> ServiceSettings:
    """Settings of a service that needs no worker processes, which take a second to start."""
    return ServiceSettings(**{"data": folder, "processes": 1, **changes})


@contextmanager
def running(folder: Path, model: Model | None = None, **changes: Any) -> Iterator[TestClient]:
    """A client of a service whose files are in ``folder``; what fails in it is an answer, as for users."""
    app = make_app(settings(folder, **changes), model or service_model())
    with TestClient(app, LOCAL, raise_server_exceptions=False) as client:
        yield client


def photo(person: int = 0, number: int = 0) -> bytes:
    """The PNG of a drawn person's photo."""
    return png(draw_face(person, number))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
