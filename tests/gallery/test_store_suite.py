"""Issue 22: what every kind of store promises, on each kind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facealike.errors import DataError, MixedModels, UsageError
from facealike.gallery.base import GalleryStore, NoSuchPerson
from facealike.gallery.integrity import check_store
from facealike.gallery.portable import export_store, import_store
from facealike.gallery.template import Correction, Template
from support.gallery_stores import KINDS, new_place, new_store, open_store
from support.gallery_templates import template

NAMES = ("Ann", 'Zoë \'the "best""\n', "%s {0} $1 \\x", "山田 太郎", " or 1 == 1 -- ", "a" * 300)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[GalleryStore]:
    store = new_store(kind, tmp_path)
    yield store
    store.close()


def test_what_is_added_is_there_after_opening_again(kind: str, tmp_path: Path) -> None:
    place = new_place(kind, tmp_path)
    store = open_store(place, "m")
    assert store.count() == store.count_people() == store.dimensions() == 0 and store.people() == {}
    assert store.search(template(1).vector, 3) == [] and check_store(store).whole
    for n, name in enumerate(NAMES):
        assert (
            store.add(name, [template(n), template(n + 100)], {"n": n, "text": name} if n % 2 else None) == 2
        )
    store.close()
    again = open_store(place, "m")
    assert again.people() == dict.fromkeys(sorted(NAMES), 2)
    assert again.metadata() == {name: {"n": n, "text": name} for n, name in enumerate(NAMES) if n % 2}
    assert [who for who, _ in again.templates()] == [name for name in NAMES for _ in range(2)]
    for n, name in enumerate(NAMES):
        for wanted, (who, one) in zip((n, n + 100), again.templates(name), strict=True):
            stated = template(wanted)
            assert (
                who == name and one.vector.dtype == np.float32 and np.array_equal(one.vector, stated.vector)
            )
            assert (one.digest, one.quality, one.source) == (stated.digest, stated.quality, stated.source)
            assert one.time.endswith("+00:00")
    assert again.digests()["Ann"] == {template(0).digest, template(100).digest}
    assert set(again.templates_of(["Ann", "nobody"])) == {"Ann"} and again.templates_of([]) == {}
    assert again.dimensions() == 16 and (again.count(), again.count_people()) == (12, 6)
    about = again.about()
    assert (about["people"], about["templates"], about["model"]) == (6, 12, "m") and about["bytes"] > 1000
    assert check_store(again).whole
    again.close()
    anyone = open_store(place, None)
    assert anyone.model_id == "m" and anyone.count() == 12
    anyone.close()


def test_another_model_and_a_missing_gallery_are_refused(kind: str, tmp_path: Path) -> None:
    place = new_place(kind, tmp_path)
    with pytest.raises(DataError, match="no such gallery; facealike gallery enroll makes one"):
        open_store(place, None)
    open_store(place, "m").close()
    with pytest.raises(
        MixedModels, match=r"holds templates of the model m, not n; .* enroll the photos again"
    ):
        open_store(place, "n")
    open_store(place, "m").close()


def test_a_photo_counts_once_a_person(store: GalleryStore) -> None:
    rows = [("Ann", template(1)), ("Ann", template(1)), ("Bob", template(1)), ("Ann", template(2))]
    assert store.add_many(rows) == [True, False, True, True]
    assert store.add_many(rows) == [False] * 4
    assert store.people() == {"Ann": 2, "Bob": 1}


def test_pages_of_people_hold_each_once_the_newest_first(store: GalleryStore) -> None:
    assert store.people_page(5) == ({}, None)
    names = [f"Person {n:03}" for n in range(23)]
    store.add_many([(name, template(n)) for n, name in enumerate(names)])
    store.add(names[3], [template(100), template(101)])  # keeps its place
    store.add_many([], {"Zoë Ann": {"x": 1}, "zoë": {}})  # without a template
    counts = {**dict.fromkeys(names, 1), names[3]: 3}
    first = store.people_page(10)
    assert list(first.people)[2:] == names[:14:-1] and set(list(first.people)[:2]) == {"Zoë Ann", "zoë"}
    assert first.people["zoë"] == 0
    assert [store.forget(names[n]) for n in (22, 14, 0)] == [1] * 3, "of a page that was read, and later ones"
    store.add("New", [template(200)])
    second = store.people_page(10, first.next)
    third = store.people_page(1000, second.next)
    assert [*second.people, *third.people] == names[13:0:-1] and third.next is None
    assert all(second.people[name] == counts[name] for name in second.people)
    assert third.people[names[3]] == 3
    whole = store.people_page(len(store.people()))
    assert next(iter(whole.people)) == "New" and whole.next is None, "a full last page has no next one"
    with pytest.raises(UsageError, match="not the next of a page"):
        store.people_page(5, "Person 003")
    with pytest.raises(UsageError, match="one person or more"):
        store.people_page(0)


def test_people_are_searched_by_a_part_of_their_name(store: GalleryStore) -> None:
    store.add_many([(name, template(n)) for n, name in enumerate(NAMES)])
    store.add_many([(f"p{n}", template(n + 50)) for n in range(30)])
    assert list(store.people_page(5, search="THE").people) == [NAMES[1]]
    assert list(store.people_page(5, search="太").people) == [NAMES[3]]
    assert list(store.people_page(5, search="%s").people) == [NAMES[2]], "a text, and no pattern"
    found = store.people_page(2, search="P1")
    assert list(found.people) == ["p19", "p18"] and found.next is not None
    rest = store.people_page(100, found.next, "P1")
    assert list(rest.people) == [f"p{n}" for n in (*range(17, 9, -1), 1)] and rest.next is None
    assert store.people_page(5, search="nobody") == ({}, None)


@pytest.mark.parametrize("name", ["Eve", "ann", ""])
def test_a_person_who_is_not_enrolled_is_an_error_of_its_own(store: GalleryStore, name: str) -> None:
    store.add("Ann", [template(1)])
    for use in (store.forget, store.templates, lambda who: store.correct(who, template(1).digest)):
        with pytest.raises(NoSuchPerson) as caught:
            use(name)
        assert caught.value.person == name
    assert store.people() == {"Ann": 1} and store.corrections() == []


def test_metadata_is_replaced_or_kept(store: GalleryStore) -> None:
    store.add("Ann", [template(1)], {"team": "A"})
    store.add("Ann", [template(2)])
    assert store.metadata() == {"Ann": {"team": "A"}}
    store.add_many([], {"Ann": {"team": "B"}, "Bob": {"x": [1, None, "é"]}}, replace=False)
    assert store.metadata() == {"Ann": {"team": "A"}, "Bob": {"x": [1, None, "é"]}}
    store.add_many([], {"Ann": {"team": "B"}})
    assert store.metadata()["Ann"] == {"team": "B"} and store.people() == {"Ann": 2, "Bob": 0}
    assert store.count_people() == 1


def test_an_error_in_a_batch_adds_none_of_it(store: GalleryStore) -> None:
    def rows() -> Iterator[tuple[str, Template]]:
        for n in range(1500):
            yield f"p{n % 7}", template(n)
        raise DataError("a damaged line")

    store.add("Cy", [template(5)], {"team": "C"})
    with pytest.raises(DataError, match="damaged line"):
        store.add_many(rows(), {"Bob": {"team": "A"}, "Cy": {}}, [Correction("Cy", template(5).digest)])
    assert store.people() == {"Cy": 1} and store.metadata() == {"Cy": {"team": "C"}}
    assert store.corrections() == [] and store.count() == 1


def test_a_search_equals_a_slow_twin(store: GalleryStore) -> None:
    rng = np.random.default_rng(0)
    held = [(f"p{rng.integers(40):02}", template(n)) for n in range(300)]
    store.add_many(held)
    for seed, top, without in ((1000, 5, set()), (1001, 50, {"p03", "p04", "nobody"}), (7, 1, set())):
        query = template(seed).vector
        best: dict[str, tuple[float, str]] = {}
        for name, one in held:
            score = float(one.vector @ query)
            if name not in without and (name not in best or score > best[name][0]):
                best[name] = score, one.source
        wanted = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:top]
        hits = store.search(query, top, without)
        assert [hit.person for hit in hits] == [name for name, _ in wanted]
        assert np.allclose([hit.score for hit in hits], [score for _, (score, _) in wanted], atol=1e-6)
        assert [hit.source for hit in hits] == [source for _, (_, source) in wanted]
        assert store.search_many(np.stack([query, template(2).vector]), top, without)[0] == hits


def test_equal_scores_are_ordered_by_name(store: GalleryStore) -> None:
    names = ["b", "B", "é", "a", "~"] + [f"x{n:03}" for n in range(300)]
    one = np.eye(16, dtype=np.float32)[2]  # a product without rounding, in whatever order
    store.add_many([(name, Template(one, "d", None, "s")) for name in names])
    assert [hit.person for hit in store.search(one, 5)] == sorted(names)[:5]
    assert [hit.person for hit in store.search(one, 2, {"B"})] == ["a", "b"]


def test_forgetting_removes_all_of_a_person(kind: str, tmp_path: Path) -> None:
    place = new_place(kind, tmp_path)
    store = open_store(place, "m")
    store.add("Zebulon Quint", [template(n) for n in range(20)], {"team": "A"})
    store.add("Ann", [template(3), template(50)])
    store.correct("Zebulon Quint", template(60).digest)
    with pytest.raises(DataError, match=r"no person 'Eve' is enrolled; facealike gallery list shows who is"):
        store.forget("Eve")
    assert store.forget("Zebulon Quint") == 20
    for held in (store, open_store(place, "m")):
        assert held.people() == {"Ann": 2} and held.corrections() == [] and held.metadata() == {}
        assert {hit.person for hit in held.search(template(3).vector, 5)} == {"Ann"}
        assert held.about()["forgotten"] == 1 and check_store(held).whole
        with pytest.raises(DataError, match="no person 'Zebulon Quint'"):
            held.templates("Zebulon Quint")
        held.close()
    again = open_store(place, "m")
    for n in range(2):
        assert again.add("Zebulon Quint", [template(n)]) == 1 and again.metadata() == {}
        assert again.forget("Zebulon Quint") == 1 and again.people() == {"Ann": 2}
    again.close()


def test_a_correction_removes_the_template(store: GalleryStore) -> None:
    store.add("Ann", [template(1), template(2)])
    with pytest.raises(DataError, match=r"no person 'Bob' is enrolled"):
        store.correct("Bob", template(2).digest)
    assert store.correct("Ann", template(2).digest) == 1 and store.correct("Ann", template(2).digest) == 0
    assert store.correct("Ann", template(9).digest) == 0
    assert [one[:2] for one in store.corrections()] == [("Ann", template(n).digest) for n in (2, 9)]
    assert store.people() == {"Ann": 1} and store.about()["corrections"] == 2
    assert store.search(template(2).vector, 1)[0].score < 0.999
    store.add_many([("Bob", template(4))], None, [Correction("Ann", template(1).digest, "2026-01-01")])
    assert store.people() == {"Ann": 0, "Bob": 1} and store.corrections()[-1].time == "2026-01-01"


def test_another_connection_sees_what_was_written(kind: str, tmp_path: Path) -> None:
    place = new_place(kind, tmp_path)
    one, other = open_store(place, "m"), open_store(place, "m")
    one.add("Ann", [template(1)])
    assert other.search(template(1).vector, 1)[0].person == "Ann" and other.count() == 1
    other.forget("Ann")
    assert one.search(template(1).vector, 1) == [] and one.people() == {}
    one.close()
    other.close()


def test_writers_in_turn_lose_nothing(kind: str, tmp_path: Path) -> None:
    place = new_place(kind, tmp_path)
    open_store(place, "m").close()
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            store = open_store(place, "m")
            for n in range(8):
                assert store.add(f"w{writer}-{n}", [template(100 * writer + n)]) == 1
                assert store.add("all", [template(n)]) in (0, 1)
                if n % 4 == 3:
                    assert store.forget(f"w{writer}-{n}") == 1
            store.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    store = open_store(place, "m")
    wanted = {f"w{w}-{n}": 1 for w in (1, 2, 3) for n in range(8) if n % 4 != 3}
    assert store.people() == {"all": 8, **wanted} and check_store(store).whole
    store.close()


@pytest.mark.parametrize("other", KINDS)
def test_a_gallery_moves_to_another_kind_of_store(kind: str, other: str, tmp_path: Path) -> None:
    source, target = new_store(kind, tmp_path), new_store(other, tmp_path)
    source.add(NAMES[1], [template(1), template(2)], {"team": "A"})
    source.add("Bob", [template(2), template(3)])
    moved_before = template(4)
    source.add("Bob", [Template(moved_before.vector, moved_before.digest, None, "s", "", "mapped")])
    source.correct("Bob", template(3).digest)
    source.add_many([], {"Cy": {}})
    assert export_store(source, tmp_path / "one.jsonl") == 4
    moved = import_store(target, tmp_path / "one.jsonl")
    assert (moved.people, moved.templates, moved.known, moved.corrections) == (3, 4, 0, 1)
    again = import_store(target, tmp_path / "one.jsonl")
    assert (again.people, again.templates, again.known, again.corrections) == (0, 0, 4, 0)
    export_store(target, tmp_path / "two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert check_store(target).whole
    assert [one.origin for _, one in target.templates()] == ["", "", "", "mapped"]
    assert target.about()["mapped"] == 1
    source.close()
    target.close()


def test_damaged_vectors_are_found(store: GalleryStore) -> None:
    long = Template(template(3).vector * 2, template(3).digest, None, "long.jpg")
    store.add("Ann", [template(1), template(2), long])
    assert store.damaged_templates() == [("Ann", "long.jpg", "a norm of 2 in place of 1")]
    assert check_store(store).problems == ("Ann: long.jpg: a norm of 2 in place of 1",)
