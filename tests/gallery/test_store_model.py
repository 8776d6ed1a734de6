"""Issue 22: random calls of each kind of store, against a dictionary that does the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from facealike.errors import DataError
from facealike.gallery.integrity import check_store
from facealike.gallery.portable import export_store, import_store
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Correction
from support.gallery_stores import KINDS, new_place, open_store
from support.gallery_templates import template
from support.postgres_server import MEMORY

NAMES = ["Ann", 'O\'Brien "x"\n', "Zoë %s {0} \\", "山田 太郎"]
names = st.one_of(
    st.sampled_from(NAMES),
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=5
    ).filter(str.strip),
)
EXAMPLES = {"sqlite": 12, "encrypted": 8, "postgresql": 10, "milvus": 6}
seeds = st.integers(0, 11)
values = st.one_of(st.integers(-5, 5), st.text(max_size=3), st.none())
metadata = st.none() | st.dictionaries(st.text(max_size=3), values, max_size=2)


class Twin:
    """What a store has to hold, by the simplest means."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.templates: list[tuple[str, int]] = []
        self.corrections: list[tuple[str, str]] = []

    def allowed(self, rows: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Leave out what a correction excludes, as ``Gallery`` does before it adds."""
        return [row for row in rows if (row[0], template(row[1]).digest) not in self.corrections]

    def add(self, rows: list[tuple[str, int]], described: dict[str, dict[str, Any]]) -> list[bool]:
        for name, stated in described.items():
            self.people[name] = stated
        new = []
        for row in rows:
            self.people.setdefault(row[0], {})
            new.append(row not in self.templates)
            if new[-1]:
                self.templates.append(row)
        return new

    def correct(self, name: str, seed: int) -> int:
        before = len(self.templates)
        self.templates = [row for row in self.templates if row != (name, seed)]
        if (one := (name, template(seed).digest)) not in self.corrections:
            self.corrections.append(one)
        return before - len(self.templates)

    def forget(self, name: str) -> int:
        before = len(self.templates)
        del self.people[name]
        self.templates = [row for row in self.templates if row[0] != name]
        self.corrections = [one for one in self.corrections if one[0] != name]
        return before - len(self.templates)

    def search(self, seed: int, top: int, without: set[str]) -> list[tuple[str, float]]:
        best: dict[str, float] = {}
        for name, held in self.templates:
            score = float(template(held).vector @ template(seed).vector)
            best[name] = max(best.get(name, -2.0), score)
        ranked = sorted(best.items(), key=lambda item: (-round(item[1], 5), item[0]))
        return [one for one in ranked if one[0] not in without][:top]


def machine(kind: str, folder: Path) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize()
        def make(self) -> None:
            self.place, self.twin = new_place(kind, folder), Twin()
            self.store = open_store(self.place, "m")

        @rule(name=names, some=st.lists(seeds, max_size=4), stated=metadata)
        def add(self, name: str, some: list[int], stated: dict[str, Any] | None) -> None:
            rows = self.twin.allowed([(name, one) for one in some])
            added = self.store.add(name, [template(one) for _, one in rows], stated)
            assert added == sum(self.twin.add(rows, {} if stated is None else {name: stated}))

        @rule(rows=st.lists(st.tuples(names, seeds), max_size=6), name=names, seed=seeds)
        def add_many(self, rows: list[tuple[str, int]], name: str, seed: int) -> None:
            self.twin.people.setdefault(name, {})
            self.twin.correct(name, seed)
            rows, stated = self.twin.allowed(rows), [Correction(name, template(seed).digest)]
            given = [(who, template(one)) for who, one in rows]
            assert self.store.add_many(given, None, stated) == self.twin.add(rows, {})

        @rule(name=names, seed=seeds)
        def correct(self, name: str, seed: int) -> None:
            if name not in self.twin.people:
                with pytest.raises(DataError, match="no person"):
                    self.store.correct(name, template(seed).digest)
            else:
                assert self.store.correct(name, template(seed).digest) == self.twin.correct(name, seed)

        @rule(data=st.data())
        def forget(self, data: st.DataObject) -> None:
            name = data.draw(st.sampled_from([*self.twin.people, "nobody at all"]))
            if name not in self.twin.people:
                with pytest.raises(DataError, match="no person"):
                    self.store.forget(name)
            else:
                assert self.store.forget(name) == self.twin.forget(name)

        @rule(seed=st.integers(0, 20), top=st.integers(1, 6), without=st.sets(names, max_size=2))
        def search(self, seed: int, top: int, without: set[str]) -> None:
            hits = self.store.search(template(seed).vector, top, without)
            wanted = self.twin.search(seed, top, without)
            assert np.allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-5)
            scores = dict(self.twin.search(seed, len(self.twin.people), without))  # no order of near-ties
            assert all(abs(scores.pop(hit.person) - hit.score) < 1e-5 for hit in hits)

        @rule()
        def open_again(self) -> None:
            self.store.close()
            self.store = open_store(self.place, "m")

        @rule()
        def move(self) -> None:
            with tempfile.TemporaryDirectory(dir=MEMORY) as place:
                out, back = Path(place) / "one.jsonl", Path(place) / "two.jsonl"
                count = export_store(self.store, out)
                copy = SQLiteStore(Path(place) / "copy.db", "m")
                assert import_store(copy, out).templates == count == len(self.twin.templates)
                export_store(copy, back)
                copy.close()
                assert out.read_bytes() == back.read_bytes()

        @invariant()
        def holds_the_same(self) -> None:
            counts = {name: sum(who == name for who, _ in self.twin.templates) for name in self.twin.people}
            assert self.store.people() == counts and list(self.store.people()) == sorted(counts)
            held = [(who, one.digest) for who, one in self.store.templates()]
            assert held == [(who, template(one).digest) for who, one in self.twin.templates]
            assert [one[:2] for one in self.store.corrections()] == self.twin.corrections
            assert self.store.metadata() == {who: kept for who, kept in self.twin.people.items() if kept}
            assert self.store.count() == len(self.twin.templates)

        def teardown(self) -> None:
            if hasattr(self, "store"):
                assert check_store(self.store).whole
                self.store.close()

    return Machine


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_does_what_a_dictionary_does(kind: str, quick_folder: Path) -> None:
    run_state_machine_as_test(
        machine(kind, quick_folder),
        settings=settings(
            max_examples=EXAMPLES[kind], stateful_step_count=15, deadline=None,
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip
