"""The tables of docs/results/video.md."""

from __future__ import annotations

from benchmarks.default_model.cells import percent, percents, with_source
from benchmarks.default_model.measured_rows import latest
from facealike.utils.markdown_table import markdown_table

JOINED = {"score": "mean score", "cosine": "cosine of the templates"}
WAYS = {
    "frame": "every face alone", "best": "the face of the highest quality", "mean": "the mean of its faces",
    "weighted": "the mean weighted by quality (the default)",
    "cosine": "the cosine of that mean, not put on the scale of single faces",
}  # fmt: skip


def video_tracks() -> str:
    rows = latest("video_tracking.csv", "by", "clips_a_video", people=400)
    rows.sort(key=lambda row: (row["by"] != "score", row["clips_a_video"]))
    cells = []
    for number, row in enumerate(rows):
        cells.append([
            f"{row['clips_a_video']:.0f}", f"{row['people']:.0f}",
            JOINED[row["by"]] + ("" if number else " (the default)"),
            percent(row["purity"]), f"{row['apart']:.2f}", f"{row['joined']:.2f}", percent(row["missed"]),
        ])  # fmt: skip
    head = ["clips a video", "people", "joined by", "purity", "tracks a person before joining", "after"]
    return with_source(markdown_table([*head, "people without a track"], cells, (2,)), rows)


def video_rates() -> str:
    rows = latest("video_tracking.csv", "fps", people=32)
    cells = [
        [
            f"{row['fps']:.0f}" + (" (the default)" if row["fps"] == 8 else ""), percent(row["purity"]),
            f"{row['apart']:.2f}", f"{row['joined']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = ["frames a second", "purity", "tracks a person before joining", "after"]
    return with_source(markdown_table(head, cells, ()), rows)


def video_identification() -> str:
    rows = {(row["way"], row["target"]): row for row in latest("video_identification.csv", "way", "target")}
    cells = [
        [
            name,
            *(
                percents(*(rows[way, target][f"{figure}{end}"] for end in ("", "_low", "_high")))
                for target in (0.01, 0.1)
                for figure in ("fpir", "found")
            ),
        ]
        for way, name in WAYS.items()
    ]
    head = ["a track is searched by", "FPIR, 1 % asked for", "found", "FPIR, 10 % asked for", "found"]
    return with_source(markdown_table(head, cells), rows.values())


def video_speed() -> str:
    rows = {(row["size"], row["step"]): row for row in latest("video_speed.csv", "size", "step")}
    cells = [
        [
            size.replace("x", " x "), f"{rows[size, 'decode']['frames_s']:,.0f}",
            f"{rows[size, 'track']['frames_s']:.0f}", f"{rows[size, 'track']['realtime']:.1f}",
            f"{rows[size, 'annotate']['frames_s']:.0f}",
        ]
        for size in dict.fromkeys(size for size, _ in rows)
    ]  # fmt: skip
    head = [
        "size",
        "decoding alone, frames/s",
        "tracking at 8 frames a second, frames/s",
        "seconds of video a second",
    ]
    return with_source(markdown_table([*head, "annotating every frame, frames/s"], cells), rows.values())
