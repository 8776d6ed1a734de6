"""Where pages state figures of the default model in their text: the page, and the words around the figures.

A field is a name of ``figures.py``; its format is explained in ``named_text.py``.  Who rewrites such a sentence
writes it anew here as well: the test names the page that lacks it.
"""

from __future__ import annotations

SENTENCES: tuple[tuple[str, str], ...] = (
    # ---- README and index -------------------------------------------------------------------------
    ("README.md", "FMR at one threshold varies {groups[race][over_best]:.1f}x across FairFace's seven race groups"),
    ("README.md", "| LFW View 2, accuracy | {view2[accuracy]:.4f} ± {view2[standard_error]:.4f} |"),
    (
        "README.md",
        "| {measured[people]:,} test people of LFW, {measured[pairs]:,} pairs, at the model's threshold "
        "| FMR {measured[fmr]:.1p} % [{measured[intervals][fmr][low]:.1p}, {measured[intervals][fmr][high]:.1p}] |",
    ),
    (
        "README.md",
        "| | FNMR {measured[fnmr]:.1p} % [{measured[intervals][fnmr][low]:.1p}, "
        "{measured[intervals][fnmr][high]:.1p}] |",
    ),
    (
        "README.md",
        "| | F1 {measured[f1]:.3f} [{measured[intervals][f1][low]:.3f}, {measured[intervals][f1][high]:.3f}] |",
    ),
    ("README.md", "| expected calibration error of the probabilities | {measured[ece]:.3f} |"),
    (
        "README.md",
        "| FairFace, worst of {groups[measured]:d} groups (ages {groups[worst_ages]}) | FMR "
        "{groups[age][worst_fmr][0]:.1p} % [{groups[age][worst_fmr][1]:.1p}, {groups[age][worst_fmr][2]:.1p}] |",
    ),
    (
        "README.md",
        "| FairFace, worst race | FMR {groups[race][worst_fmr][0]:.2p} % [{groups[race][worst_fmr][1]:.2p}, "
        "{groups[race][worst_fmr][2]:.2p}] |",
    ),
    (
        "README.md",
        "| one photo of 250 x 250, one thread: detect, align, embed | {throughput[one photo][median_ms]:.1f} ms, "
        "dlib {throughput[dlib][median_ms]:.0f} ms",
    ),
    ("README.md", "| `facealike compare` from a cold start | {cold_start[process][median_s]:.2f} s,"),
    ("README.md", "# (2, {width:d}) float32, unit length"),
    ("docs/quickstart.md", "# (2, {width:d}) float32, unit length"),
    ("docs/index.md", "On LFW View 2 its accuracy is [{view2[accuracy]:.1p} %]"),
    # ---- guides -----------------------------------------------------------------------------------
    ("docs/guides/verify-two-photos.md", "[{points[0.001][test_fnmr]:.1p} % on the test people]"),
    *(
        (
            "docs/guides/which-threshold.md",
            f"| {asked} | {{points[{fmr}][threshold]:.3f}} | {{points[{fmr}][test_fmr]:.2gp}} % "
            f"| {{points[{fmr}][test_fnmr]:.1p}} % |",
        )
        for asked, fmr in (("1 %", "0.01"), ("0.1 % (default)", "0.001"), ("0.01 %", "0.0001"), ("0.001 %", "1e-05"))
    ),
    (
        "docs/guides/which-threshold.md",
        "[{groups[age][worst_fmr][0]:.1p} % at ages {groups[worst_ages]}](../results/demographics.md)",
    ),
    (
        "docs/guides/scale.md",
        "a search at a target FPIR of 1 % would miss {fpir_at_scale[1e+06 0.01][fnir]:.0p} % of enrolled people among "
        "10^6 templates",
    ),
    ("docs/guides/scale.md", "A vector is {width:d} numbers with the default model"),
    (
        "docs/guides/scale.md",
        "the table says {fpir_at_scale[4000 0.01][fnir]:.0p} % missed and {fpir_at_scale[4000 0.01][first]:.0p} % first, "
        "measured were {identification[4000 0.01][missed]:.0p} % and {identification[4000 0.01][first]:.0p} %",
    ),
    # ---- concepts ---------------------------------------------------------------------------------
    ("docs/concepts/limits.md", "[{view2[accuracy]:.2p} % on LFW View 2]"),
    ("docs/concepts/limits.md", "[{points[0.001][test_fnmr]:.1p} % of those of LFW's test people]"),
    (
        "docs/concepts/limits.md",
        "[FMR {groups[age][worst_fmr][0]:.1p} % [{groups[age][worst_fmr][1]:.1p}, {groups[age][worst_fmr][2]:.1p}] at ages "
        "{groups[worst_ages]}](",
    ),
    (
        "docs/concepts/limits.md",
        "[{groups[race][best_fmr][0]:.2gp} to {groups[race][worst_fmr][0]:.2gp} % by race](../results/demographics.md), up to "
        "{groups[race_x_gender_x_age][worst_fmr][0]:.2gp} % by race, gender and age",
    ),
    ("docs/concepts/limits.md", "[{identification[4000 0.01][found]:.0p} % of enrolled people found among 4,000]"),
    ("docs/concepts/limits.md", "[Calibration error {measured[ece]:.3f}]"),
    ("docs/concepts/probabilities.md", "the default model on the test people is [{measured[ece]:.3f}]"),
    (
        "docs/concepts/scores-and-thresholds.md",
        "The threshold of the default model, {threshold:.3f}, has an FMR of 0.1 % among 4,904 people of LFW. The FMR of the "
        "[worst demographic group](demographic-differentials.md), {groups[age][worst_fmr][0]:.1p} % "
        "[{groups[age][worst_fmr][1]:.1p}, {groups[age][worst_fmr][2]:.1p}] at ages {groups[worst_ages]}, stands",
    ),
    # ---- results ----------------------------------------------------------------------------------
    ("docs/results/default-model.md", "Model `{model}`: dlib's face network"),
    (
        "docs/results/default-model.md",
        "| **default model** | {view2[accuracy]:.4f} ± {view2[standard_error]:.4f} | {view2[tar_at_far][0.001]:.3f} "
        "| {full_test[fnmr@0.001][value]:.1p} / {full_test[fnmr@0.0001][value]:.1p} / {full_test[fnmr@1e-05][value]:.1p} % |",
    ),
    (
        "docs/results/demographics.md",
        "The threshold, {threshold:.3f}, has an FMR of 0.1 % among the 4,904 people of LFW whom the calibration saw; no group "
        "decided about it. Here all seven races have {groups[race][best_fmr][0]:.2p} to {groups[race][worst_fmr][0]:.2p} %, and "
        "every group of race, gender and age that is large enough to measure at most "
        "{groups[race_x_gender_x_age][worst_fmr][0]:.2p} %, but ages {groups[worst_ages]} have "
        "{groups[age][worst_fmr][0]:.1p} % [{groups[age][worst_fmr][1]:.1p} %, {groups[age][worst_fmr][2]:.1p} %]",
    ),
    (
        "docs/results/clustering.md",
        "where one run over all photos has {clustering[0.0001][bcubed_f1]:.3f} ({clustering[0.0001][bcubed_precision]:.3f}, "
        "{clustering[0.0001][bcubed_recall]:.3f})",
    ),
    (
        "docs/results/performance.md",
        "**{cold_start[process][median_s]:.2f} s** median, {cold_start[process][max_s]:.2f} s at most. Of these, Python and "
        "imports take {cold_start[start][median_s]:.2f} s, loading detector and model {cold_start[load][median_s]:.2f} s, "
        "detection in both photos {cold_start[detect][median_ms]:.0f} ms, quality {cold_start[quality][median_ms]:.0f} ms, "
        "alignment {cold_start[align][median_ms]:.0f} ms, embedding {cold_start[embed][median_ms]:.0f} ms "
        "({cold_start[process][date]}, commit {cold_start[process][commit]}, ",
    ),
)
