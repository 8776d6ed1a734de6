"""``facealike video``: track the faces of a video, and say who each track is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .console import command, print_json, print_table, progress_bar, say, show
from .gallery import FpirOption, open_gallery
from .options import DeviceOption, JsonOption, KeyFileOption, ModelOption, check_folder

if TYPE_CHECKING:
    from ..video.result import Track, VideoTracks


@command
def video(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CAMERA", show_default=False, help="A video, or a camera: its number or its device."
        ),
    ],
    gallery: Annotated[
        str | None,
        typer.Option("--gallery", "-g", metavar="GALLERY", help="Say who each track is, of these people."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.jsonl", help="Write one line of JSON a track.")
    ] = None,
    annotated: Annotated[
        Path | None,
        typer.Option("--annotated", metavar="FILE.mp4", help="Write a copy with the tracks drawn into it."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="F", help="Frames to look at a second.", show_default="8"),
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", metavar="N", help="Look at every N-th frame instead.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="Stop after so many seconds; a camera needs it."),
    ] = None,
    fpir: FpirOption = 0.01,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Track the faces of a video: when each person is seen, and with --gallery who they are.

    The faces of a person in successive frames are one track, with one embedding and one decision: match,
    uncertain or unknown.  A damaged file is used as far as it can be decoded.  Needs facealike[video].

    Exit code: 0, 2 on an error, 3 if no face was tracked.
    """
    from ..embedding.face_model import Model
    from ..utils.atomic_write import write_text
    from ..video.annotate import annotate_video
    from ..video.source import is_camera
    from ..video.tracking import track_faces

    number = source.isascii() and source.isdigit() and not Path(source).exists()
    given = int(source) if number else source
    _check_outputs(given, out, annotated, camera=is_camera(given))
    loaded = Model.load(model, device)
    opened = None if gallery is None else open_gallery(gallery, loaded, key_file)
    with progress_bar("tracking faces", unit="frames") as progress:
        result = track_faces(
            given, loaded, gallery=opened, progress=progress, fps=fps, every=every, seconds=seconds, fpir=fpir
        )
    if out is not None:
        write_text(out, result.to_jsonl())
    if annotated is not None:
        with progress_bar("drawing", unit="frames") as progress:
            annotate_video(given, result, annotated, seconds=seconds, progress=progress)
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)
    if result.damage is not None:
        say(f"warning: {result.video}: {result.damage}")
    if not result.tracks:
        say(f"{result.video}: no face was tracked; check that faces are large enough, or look at more frames")
        return 3
    return 0


def _check_outputs(source: str | int, out: Path | None, annotated: Path | None, camera: bool) -> None:
    """Refuse a result that could not be written, or that would replace the video, before the work."""
    from ..video.writing import check_video_name

    if annotated is not None:
        if camera:
            raise UsageError("--annotated needs a video file, since the frames of a camera are not kept")
        check_video_name(annotated)
    for path in (out, annotated):
        if path is not None:
            check_folder(path)
            if isinstance(source, str) and path.exists() and Path(source).exists() and path.samefile(source):
                raise UsageError(f"{path}: this is the video itself; give another file")
    if out is not None and annotated is not None and out.absolute() == annotated.absolute():
        raise UsageError(f"{out}: --out and --annotated are one file; give two")


def _show(result: VideoTracks) -> None:
    if result.tracks:
        asked = any(track.found is not None for track in result.tracks)
        columns = ["track", "from", "to", "faces", "quality", *(["decision", "score"] if asked else [])]
        print_table(
            columns, [[*_row(track), *(_decision(track) if asked else [])] for track in result.tracks]
        )
    show(str(result))
    found = next((track.found for track in result.tracks if track.found is not None), None)
    if found is not None and found.threshold is not None:
        show(f"  threshold {found.threshold}")


def _row(track: Track) -> list[str]:
    times = [f"{time:.1f} s" for time in (track.first, track.last)]
    return [str(track.number), *times, f"{len(track.faces):,}", f"{track.quality:.2f}"]


def _decision(track: Track) -> list[str]:
    best = track.found.candidates[0] if track.found is not None and track.found.candidates else None
    decision = track.decision or "not calibrated"
    if best is None:
        return [decision, "-"]
    named = {"match": best.person, "uncertain": f"{decision}: {best.person}?"}.get(decision, decision)
    return [named, f"{best.score:.3f}"]
