"""The benchmarks whose figures the documents state of the default model, in the order in which they are run.

Others do not depend on the default model: the detector (``accuracy.detector``, ``accuracy.real_photos``),
dlib (``accuracy.dlib``), search, stores and keys, training, and the tests that kill processes.
``speed.scale`` depends on the width of an embedding alone, and ``peers.measure`` needs the other packages:
both are run by hand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A command, and what it writes.

    Attributes:
        name: What ``--only`` calls it.
        command: The module and its arguments; {lfw}, {pairs}, {fairface}, {retail} and {work} are places.
        rows: The files of ``benchmarks/results`` whose rows name the model.
        blocks: Markers of pages between which the command writes, and the model's id with it.
        minutes: What it took on two cores of an AMD EPYC (Zen 5) beside other programs (load 9 to 14), with
            the crops of earlier steps, 2026-11-30; 0 where it was not measured.
        quiet: It measures time: no other program may be at work.
    """

    name: str
    command: str
    rows: tuple[str, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()
    minutes: float = 0.0
    quiet: bool = False


RESULTS = "docs/results/"
CACHED = "{lfw} --cache {work}/crops --write"
STEPS = (
    Step(
        "results",
        "benchmarks.accuracy.results {lfw} --runs {work} --cache {work}/crops --pairs {pairs} --only shipped",
        blocks=((f"{RESULTS}default-model.md", "calibration"),),
        minutes=6.3,
    ),
    Step(
        "demographics",
        "benchmarks.demographics.demographics {fairface}/val.csv --aligned --cache {work}/crops --write",
        ("demographics.csv",), ((f"{RESULTS}demographics.md", "groups"),),
        minutes=3.2,
    ),
    Step(
        "full-test", "benchmarks.accuracy.full_test {lfw} --write", ("full_test.csv",),
        ((f"{RESULTS}full-test.md", "full"),),
        minutes=1.8,
    ),
    Step(
        "extrapolation", f"benchmarks.accuracy.extrapolation {CACHED}", ("extrapolation.csv",),
        ((f"{RESULTS}full-test.md", "check"),),
    ),
    Step(
        "identification", f"benchmarks.accuracy.identification {CACHED}",
        ("identification.csv", "identification_probability.csv"),
        minutes=3.2,
    ),
    Step(
        "templates", "benchmarks.accuracy.templates_per_person {lfw} --write", ("templates_per_person.csv",),
    ),
    Step(
        "template-probability", "benchmarks.accuracy.probability_of_templates {lfw} --write",
        ("probability_of_templates.csv",),
    ),
    Step("enrollment", f"benchmarks.accuracy.enrollment {CACHED}", ("enrollment.csv",), minutes=4.5),
    Step(
        "fpir-at-scale", "benchmarks.accuracy.fpir_at_scale {lfw} --write", ("fpir_at_scale.csv",),
        (("docs/guides/scale.md", "fpir"),),
        minutes=1.4,
    ),
    Step("audit", "benchmarks.accuracy.audit {lfw} --split test --write", ("audit.csv",), minutes=1.6),
    Step(
        "audit-others", "benchmarks.accuracy.audit {lfw} --split train,validation,calibration --write",
        ("audit.csv",),
    ),
    Step("audit-all", "benchmarks.accuracy.audit {lfw} --split all --write", ("audit.csv",)),
    Step(
        "clustering", f"benchmarks.accuracy.clustering {CACHED} --split test", ("clustering.csv",),
        minutes=2.1,
    ),
    Step(
        "clustering-others", f"benchmarks.accuracy.clustering {CACHED} --split calibration,validation",
        ("clustering.csv",),
    ),
    Step("group-names", f"benchmarks.accuracy.group_names {CACHED}", ("group_names.csv",)),
    Step("video", f"benchmarks.accuracy.video {CACHED}", ("video_tracking.csv", "video_identification.csv")),
    Step("explain", "benchmarks.accuracy.explain {lfw} --write --page", ("explain.csv",)),
    Step(
        "discard", "benchmarks.quality.discard {lfw} --write", ("error_discard.csv",),
        ((f"{RESULTS}quality.md", "discard"),),
    ),
    Step(
        "quality-fit",
        "benchmarks.quality.quality collect {lfw} --split validation --split calibration "
        "--out {work}/fit.npz",
    ),
    Step(
        "quality-fit-page", "benchmarks.quality.quality fit {work}/fit.npz --write",
        blocks=((f"{RESULTS}quality.md", "fit"),),
    ),
    Step("quality-test", "benchmarks.quality.quality collect {lfw} --split test --out {work}/test.npz"),
    Step(
        "quality-test-page", "benchmarks.quality.quality analyse {work}/test.npz --write",
        blocks=((f"{RESULTS}quality.md", "analyse"),),
    ),
    Step("retail-0095", "facealike models add {retail} --name retail-0095 --plain"),
    Step("dlib", "facealike models add dlib"),
    *(
        Step(
            f"migration-{old}-{new}",
            f"benchmarks.accuracy.gallery_migration {{lfw}} {old} {new} --cache {{work}}/crops --write",
            ("gallery_migration.csv",),
        )
        for other in ("retail-0095", "dlib")
        for old, new in ((other, "default"), ("default", other))
    ),
    Step("cold-start", "benchmarks.speed.cold_start --write", ("cold_start.csv",), quiet=True),
    Step("throughput", "benchmarks.speed.throughput --photos 3000 --write", ("throughput.csv",), quiet=True),
    Step("video-speed", "benchmarks.speed.video --write", ("video_speed.csv",), quiet=True),
    Step("identify", "benchmarks.speed.identify --people 100 --write", quiet=True),
    Step("bulk", "benchmarks.speed.bulk {lfw} --photos 3000 --write", quiet=True),
    Step("page", "benchmarks.speed.page --write", quiet=True),
    Step("service", "benchmarks.speed.service --steady 600 --write", quiet=True),
)  # fmt: skip
