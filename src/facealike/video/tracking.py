"""Track the faces of a video, and ask a gallery who each track is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from ..embedding.cropper import FaceCrop, crop_faces
from ..embedding.face_model import Model, loaded_model
from ..errors import MixedModels, NoFaceFound, UsageError
from ..gallery.gallery import Gallery
from ..imaging.read import Source
from ..types import Progress
from .frames import VideoReader, reading
from .joining import join_tracks
from .options import TrackKeywords, TrackOptions, track_thresholds, tracker_settings
from .result import Track, TrackedFace, VideoTracks
from .source import VideoSource, is_camera
from .template import mean_of, template_of
from .tracker import FaceInFrame, Tracker

if TYPE_CHECKING:
    from typing_extensions import Unpack

LEAD = 3
"""Frames a thread that are decoded ahead; small, since each is held whole."""

BATCH = 16
"""Frames whose faces are embedded together."""


def track_faces(
    video: VideoSource,
    model: Model | str | os.PathLike[str] | None = None,
    *,
    gallery: Gallery | str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    **keywords: Unpack[TrackKeywords],
) -> VideoTracks:
    """Track the faces of a video and ask a gallery who each track is.

    Faces are found and embedded in some frames of each second.  They are linked by predicted motion and by
    their embeddings: another person at the same place begins a new track, and two faces of one frame are
    never one track.  Tracks of one person are joined at a threshold.  Each track has one template, the mean
    of its faces weighted by quality, and with a gallery one decision.

    Args:
        video: A video file; or a camera, by its number from 0 or the path of its device.
        model: A loaded Model, the path of a model file, or None for the default model, or that of an open
            gallery.
        gallery: An open gallery, or its file.
        progress: Called with (done, total) frames; the total is an estimate.
        device: Where to load the model; must be the device of a Model that is loaded.
        keywords: Fields of ``TrackOptions``.  ``fps`` or ``every``: which frames are looked at, by default 8
            a second.  ``seconds``: the video up to this time; a camera needs it.  ``split_fmr``,
            ``join_fmr``: FMRs of the thresholds at which a track is split, and two are joined.
            ``min_quality``: below it an embedding says little.  ``keep``: seconds for which a lost track is
            kept.  ``min_faces``: tracks of fewer are left out.  ``fpir``: target FPIR in the gallery.

    Raises:
        MissingExtra: PyAV is not installed; ``facealike[video]`` installs it.
        VideoError: The video cannot be opened, is none, or has no frame.
        ModelError: The model file cannot be used.
        MixedModels: The gallery holds embeddings of another model.
        NotCalibrated: The model has no table of impostor scores.
        UsageError: The options contradict each other or are out of range.

    Examples:
        >>> result = track_faces("clip.mp4", gallery="people.db")
        >>> for track in result.tracks:
        ...     print(track.first, track.last, track.decision, track.person)
    """
    options = TrackOptions(**keywords)
    if is_camera(video) and options.seconds is None:
        raise UsageError("a camera has no end; say for how many seconds it is watched")
    if model is None and isinstance(gallery, Gallery):
        model = gallery.model
    model = loaded_model(model, device)
    if gallery is not None and not isinstance(gallery, Gallery):
        with closing(Gallery.open(gallery, model)) as opened:
            return _track(video, model, opened, options, progress)
    return _track(video, model, gallery, options, progress)


def _track(
    video: VideoSource, model: Model, gallery: Gallery | None, options: TrackOptions,
    progress: Progress | None,
) -> VideoTracks:  # fmt: skip
    thresholds = track_thresholds(model.calibration, options)
    if gallery is not None and gallery.model.id != model.id:
        raise MixedModels("the gallery is of another model; leave out the model, or name that of the gallery")
    tracker = Tracker(tracker_settings(thresholds, options))
    count, found, last = 0, 0, 0.0
    with reading(video) as reader, closing(faces_of_frames(reader, model, options)) as frames:
        expected = _expected(reader, options)
        for time, faces in frames:
            tracker.add(time, faces)
            count, found, last = count + 1, found + len(faces), time
            if progress is not None:
                progress(count, max(count + 1, expected))
    if progress is not None:
        progress(count, count)
    tracks = tracker.finished()
    if thresholds.join is not None:
        tracks = join_tracks(tracks, thresholds.join, options.min_quality)
    kept = [faces for faces in tracks if len(faces) >= options.min_faces]
    return VideoTracks(
        reader.name,
        tuple(_result(i, faces, gallery, options.fpir) for i, faces in enumerate(kept, 1)),
        count, found, last, len(tracks) - len(kept), thresholds, model.id, reader.damage,
    )  # fmt: skip


def faces_of_frames(
    reader: VideoReader, model: Model, options: TrackOptions
) -> Generator[tuple[float, list[FaceInFrame]], None, None]:
    """Yield the time and the faces of each frame that is looked at, found in threads and embedded."""
    places: deque[tuple[int, float]] = deque()

    def images() -> Iterator[tuple[Source, str]]:
        for frame in reader.frames(options.rate):
            places.append((frame.index, frame.time))
            yield frame.image, f"{reader.name}, frame {frame.index}"

    with closing(crop_faces(model.cropper(many=True), images(), "all", lead=LEAD, quality=True)) as cropped:
        chunk: list[tuple[int, float, list[FaceCrop]]] = []
        for each in cropped:
            if isinstance(each, Exception) and not isinstance(each, NoFaceFound):
                raise each
            chunk.append((*places.popleft(), each if isinstance(each, list) else []))
            if len(chunk) == BATCH:
                yield from _embedded(model, chunk)
                chunk = []
        yield from _embedded(model, chunk)


def _embedded(
    model: Model, chunk: list[tuple[int, float, list[FaceCrop]]]
) -> Iterator[tuple[float, list[FaceInFrame]]]:
    crops = [face.crop for _, _, faces in chunk for face in faces]
    vectors = iter(model.embed_crops(np.stack(crops)) if crops else ())
    for frame, time, faces in chunk:
        rows = []
        for face in faces:
            assert face.face is not None and face.quality is not None  # a detector ran, with quality
            rows.append(FaceInFrame(frame, time, face.face, face.quality.score, next(vectors)))
        yield time, rows


def _expected(reader: VideoReader, options: TrackOptions) -> int:
    """Return about how many frames will be looked at; 0 where that is not known."""
    length = min(reader.duration or 0.0, options.seconds or float("inf"))
    if reader.camera:
        length = options.seconds or 0.0
    rate = options.rate
    return round(length * min(reader.rate, rate.fps or reader.rate / (rate.every or 1)))


def _result(number: int, faces: tuple[FaceInFrame, ...], gallery: Gallery | None, fpir: float) -> Track:
    found = None
    if gallery is not None:
        found = gallery.identify_embedding(mean_of(faces), fpir=fpir, name=f"track {number}")
    seen = tuple(TrackedFace(each.frame, each.time, each.face, each.quality) for each in faces)
    return Track(number, seen, template_of(faces), found)
