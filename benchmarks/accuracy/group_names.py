"""Measure the names that groups of photos get from a gallery, on the test people of LFW (needs LFW).

    python -m benchmarks.accuracy.group_names LFW --write

Half of the test people, or ten of them, drawn ``DRAWS`` times, are enrolled with one photo each: the face
nearest the middle.  All other photos of all test people are grouped as ``facealike cluster`` does, and named
as ``--name-from`` does, at each target FPIR.  A group shows whom most of its named faces show (LFW names the
face nearest the middle of a photo); groups of other faces alone, which show nobody that LFW names, count as
not enrolled.

    enrolled_groups     groups that show an enrolled person
    named               share of them that have that person's name
    misnamed            share of them that have another name
    other_groups        groups that show a person who is not enrolled
    other_named         share of them that have a name: the FPIR of groups
    names, wrong        names given, and the share of them that are wrong
    again, again_right  pairs of groups with one enrolled name, and the share of them that both show them

Each is the mean of the draws; ``low`` and ``high`` are ``other_named`` in the lowest and the highest draw.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.accuracy.clustering import named_faces
from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.clustering.cluster import group_faces
from facealike.clustering.corrections import Corrections
from facealike.clustering.faces import PhotoFace, PhotoFaces, photo_faces
from facealike.clustering.options import ClusterOptions, cluster_threshold
from facealike.clustering.result import Clustering
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.embedding.face_model import Model
from facealike.gallery.gallery import Gallery
from facealike.gallery.template import Template

CSV = RESULTS / "group_names.csv"
DRAWS = 20
FEW = 10
"""People in a small gallery; the large one has half of them."""
TARGETS = (0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Names:
    """What became of the groups of one draw.

    Attributes:
        right: For each group of an enrolled person, whether it has their name; None where it has none.
        others: For each other group, whether it has a name.
        again: For each pair of groups with one enrolled name, whether both show that person.
    """

    right: list[bool | None]
    others: list[bool]
    again: list[bool]


def shown_people(result: Clustering, owners: Mapping[tuple[str, int], str]) -> dict[int, str]:
    """Return whom most of the named faces of each group show; groups without a named face are left out."""
    counts: dict[int, Counter[str]] = {}
    for face in result.faces:
        owner = owners.get((face.photo, face.number))
        if owner is not None and face.person is not None:
            counts.setdefault(face.person, Counter())[owner] += 1
    return {person: min(count, key=lambda name: (-count[name], name)) for person, count in counts.items()}


def names_of(result: Clustering, shows: Mapping[int, str], enrolled: set[str]) -> Names:
    """Return how the names of a clustering agree with whom its groups show."""
    given = {match.person: match.enrolled for match in result.matches}
    mated = [person for person in result.numbers if shows.get(person) in enrolled]
    again = [
        shows.get(a) == shows.get(b) == given[a]
        for a, b in combinations(sorted(given), 2)
        if given[a] == given[b]
    ]
    return Names(
        [given[one] == shows[one] if one in given else None for one in mated],
        [one in given for one in result.numbers if shows.get(one) not in enrolled],
        again,
    )


def draw(
    model: Model, found: PhotoFaces, owners: Mapping[tuple[str, int], str], count: int,
    rng: np.random.Generator, targets: Sequence[float] = TARGETS,
) -> Iterator[Names]:  # fmt: skip
    """Yield the names at each target FPIR with ``count`` random people enrolled."""
    people = sorted(set(owners.values()))
    enrolled = {people[i] for i in rng.permutation(len(people))[:count].tolist()}
    named = [face for face in found.faces if owners.get((face.photo, face.number)) in enrolled]
    first: dict[str, PhotoFace] = {}
    for i in rng.permutation(len(named)).tolist():
        first.setdefault(owners[named[i].photo, named[i].number], named[i])
    away = {face.photo for face in first.values()}
    rest = replace(found, faces=tuple(face for face in found.faces if face.photo not in away))
    options = ClusterOptions()
    threshold = cluster_threshold(model.calibration, options)
    result = group_faces(rest, model.id, threshold, options, Corrections())
    shows = shown_people(result, owners)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Gallery.open(Path(folder) / "g.db", model)) as gallery,
    ):
        for person, face in first.items():
            digest = hashlib.sha256(face.photo.encode()).hexdigest()
            gallery.store.add(person, [Template(face.embedding, digest, face.quality, face.photo)])
        for target in targets:
            yield names_of(result.name_from(gallery, target), shows, enrolled)


def measure(
    model: Model, people: People, seed: int, cache: Path | None = None, draws: int = DRAWS,
    targets: Sequence[float] = TARGETS,
) -> Iterator[dict[str, object]]:  # fmt: skip
    """Yield a row for each gallery and target FPIR."""
    found = photo_faces(model, [str(path) for path in people.paths], "all", cache)
    owner = {str(path): people.names[label] for path, label in zip(people.paths, people.labels, strict=True)}
    middle = [found.faces[i] for i in named_faces(found.faces)]
    owners = {(face.photo, face.number): owner[face.photo] for face in middle}
    half = len(people.names) // 2
    for count in sorted({half, min(FEW, half)}, reverse=True):
        rng = np.random.default_rng(seed)
        each = [list(draw(model, found, owners, count, rng, targets)) for _ in range(draws)]
        yield from rows_of(each, targets, {"people": len(people.names), "enrolled": count, "draws": draws})


def rows_of(
    each: Sequence[Sequence[Names]], targets: Sequence[float], about: Mapping[str, object]
) -> Iterator[dict[str, object]]:
    """Yield a row for each target FPIR from the names of each draw."""
    draws = len(each)
    for place, target in enumerate(targets):
        rows = [one[place] for one in each]
        right = [value for row in rows for value in row.right]
        others = [float(np.mean(row.others)) for row in rows]
        given = [value for value in right if value is not None]
        false = sum(sum(row.others) for row in rows)
        again = [value for row in rows for value in row.again]
        names = len(given) + false
        yield {
            **about, "target": target,
            "enrolled_groups": f"{len(right) / draws:.1f}",
            "named": f"{sum(given) / max(1, len(right)):.4f}",
            "misnamed": f"{(len(given) - sum(given)) / max(1, len(right)):.4f}",
            "other_groups": f"{np.mean([len(row.others) for row in rows]):.1f}",
            "other_named": f"{np.mean(others):.4f}",
            "low": f"{min(others):.4f}", "high": f"{max(others):.4f}",
            "names": f"{names / draws:.1f}", "wrong": f"{1 - sum(given) / max(1, names):.4f}",
            "again": len(again), "again_right": f"{np.mean(again):.4f}" if again else "",
        }  # fmt: skip


def main() -> None:
    parser: argparse.ArgumentParser = people_options(__doc__, CSV)
    parser.add_argument("--cache", type=Path, help="keep faces and embeddings here")
    options = parser.parse_args()
    everyone = People.from_folder(options.people)
    tested = np.array([split_of(name) == "test" for name in everyone.names])
    model = Model.load(options.model)
    rows = measure(model, everyone.select(tested[everyone.labels]), options.seed, options.cache)
    state_rows(rows, CSV, model.id, options)


if __name__ == "__main__":
    main()
