"""Measure what mapped templates lose when a gallery is moved to another model (needs LFW).

    python -m benchmarks.accuracy.gallery_migration LFW retail-0095 default --write

The map is fitted to photos of so many people who are no test people, as ``gallery migrate`` does, and its
report states the loss on held-out people among them.  Then every photo of the test people is mapped, and
compared with the new model's embeddings of the person's other photos and of other people, at the threshold
where the FMR of the new model's own embeddings is 0.1 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import embed_photos
from facealike.gallery.embedding_map import error_rates, measured_map, threshold_at_fmr

CSV = RESULTS / "gallery_migration.csv"
FACES = (1000, 3000, 12_000)
RESAMPLES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument("old", help="the model of the old gallery")
    parser.add_argument("new", help="the model of the new one")
    parser.add_argument("--cache", type=Path, help="keep face crops here")
    parser.add_argument("--seed", type=int, default=0, help="which people are drawn")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    everyone = People.from_folder(options.people)
    paths, labels = [str(path) for path in everyone.paths], np.asarray(everyone.labels)
    models = [Model.load(name) for name in (options.old, options.new)]
    old, new = (embed_photos(model, paths, LFW_FACE, options.cache, None) for model in models)
    used = old.found & new.found
    test = used & np.array([split_of(name) == "test" for name in everyone.names])[labels]
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(np.unique(labels[used & ~test]))
    who, own = labels[test], new.vectors[test]
    threshold = threshold_at_fmr(own, who)
    baseline = error_rates(own, own, who, threshold)[1]
    rows = []
    for faces in FACES:
        counts = np.bincount(labels[used], minlength=len(everyone.names))[order]
        chosen = order[: 1 + int(np.searchsorted(np.cumsum(counts), faces))]
        fit = np.flatnonzero(used & np.isin(labels, chosen))
        fitted, report = measured_map(old.vectors[fit], new.vectors[fit], labels[fit], options.seed)
        fmr, missed = error_rates(fitted(old.vectors[test]), own, who, threshold)
        lost = missed - baseline
        losses = [lost[rng.integers(0, len(lost), len(lost))].mean() for _ in range(RESAMPLES)]
        low, high = np.quantile(losses, [0.025, 0.975])
        row = {
            **circumstances("onnxruntime"), "old": models[0].id, "new": models[1].id, "seed": options.seed,
            "old_name": options.old, "new_name": options.new, "faces": report.faces,
            "people": report.people, "gain": f"{fitted.gain:.2f}", "stated_loss": f"{report.loss:.4f}",
            "stated_low": f"{report.low:.4f}", "stated_high": f"{report.high:.4f}", "test_people": len(lost),
            "fnmr_new": f"{baseline.mean():.4f}", "fnmr_mapped": f"{missed.mean():.4f}",
            "loss": f"{lost.mean():.4f}", "low": f"{low:.4f}", "high": f"{high:.4f}",
            "fmr_mapped": f"{fmr:.5f}",
        }  # fmt: skip
        print(row, flush=True)
        rows.append(row)
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
