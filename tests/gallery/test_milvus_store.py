"""Issue 22: what only the store in Milvus has: writes of several rows without transactions; errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.errors import DataError, MissingExtra, UsageError
from facealike.gallery.adapters import milvus, milvus_connection, milvus_journal
from facealike.gallery.adapters.milvus import MilvusStore
from facealike.gallery.adapters.milvus_connection import MilvusConnection
from facealike.gallery.base import GalleryStore
from facealike.gallery.integrity import check_store
from facealike.gallery.location import open_store
from facealike.gallery.store_url import StoreURL
from facealike.gallery.template import Correction, Template
from support.gallery_stores import new_place
from support.gallery_templates import template
from support.gallery_writer import check_killed_writers


class Killed(BaseException):
    """Ends a process in a test, so to speak."""


def store_at(url: str) -> MilvusStore:
    return MilvusStore(StoreURL.parse(url), "m")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_place("milvus", tmp_path)


def add(store: GalleryStore) -> None:
    rows = [("Ann", template(1)), ("Bob", template(7)), ("Cy", template(8)), ("Cy", template(9))]
    store.add_many(rows, {"Ann": {"team": "new"}, "Dan": {}}, [Correction("Bob", template(3).digest)])


def forget(store: GalleryStore) -> None:
    store.forget("Bob")


def correct(store: GalleryStore) -> None:
    store.correct("Ann", template(2).digest)


def content(store: GalleryStore) -> dict[str, Any]:
    return {
        "templates": [(who, one.digest) for who, one in store.templates()], "metadata": store.metadata(),
        "people": store.people(), "corrections": [one[:2] for one in store.corrections()],
        "first": [hit.person for hit in store.search(template(3).vector, 9)], "count": store.count(),
    }  # fmt: skip


@pytest.mark.parametrize("change", [add, forget, correct])
def test_a_change_that_is_cut_off_anywhere_is_whole_or_not_there(
    change: Callable[[GalleryStore], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, left = MilvusConnection.call, 1_000_000

    def counted(self: MilvusConnection, what: str, *args: Any, **options: Any) -> Any:
        nonlocal left
        if what in ("upsert", "delete"):
            left -= 1
        if left < 0:
            raise Killed
        return call(self, what, *args, **options)

    monkeypatch.setattr(MilvusConnection, "call", counted)
    seen: list[str] = []
    for writes in range(100):
        url = new_place("milvus", tmp_path)
        store = store_at(url)
        store.add("Ann", [template(1), template(2)], {"team": "old"})
        store.add("Bob", [template(3), template(4)])
        store.correct("Bob", template(5).digest)
        before = content(store)
        left = writes
        try:
            change(store)
            done = True
        except Killed:
            done = False
        left = 1_000_000
        monkeypatch.setattr(milvus_journal, "LEASE", 600)
        found = content(store_at(url))
        monkeypatch.setattr(milvus_journal, "LEASE", 0)
        again = store_at(url)
        assert content(again) == found, "what a reader does not see is undone, and what it sees stays"
        assert check_store(again).whole
        assert again._journal._pending() == []
        if found != before:
            seen.append("after")
            after = found
        else:
            seen.append("before")
        assert not done or found != before
        change(again) if change is not forget or "Bob" in again.people() else None
        assert content(again) == after if found != before else content(again) != before
        if done:
            break
    assert seen == sorted(seen, reverse=True) and 2 < len(seen) < 40, seen
    assert seen.count("before") >= 1 and seen.count("after") >= 2
    if change is forget:
        assert seen.index("after") == 1, "the first write decides"


def test_a_process_that_is_killed_loses_nothing_acknowledged(tmp_path: Path) -> None:
    check_killed_writers(new_place("milvus", tmp_path), [0.05])


def test_a_batch_is_undone_when_its_writer_is_silent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = store_at(url), store_at(url)

    def rows() -> Iterator[tuple[str, Template]]:
        yield "Ann", template(1)
        monkeypatch.setattr(milvus_journal, "LEASE", 0)
        assert other.people() == {}  # it takes the writer for dead
        monkeypatch.undo()
        yield from (("Ann", template(n)) for n in range(2, 2 + milvus.CHUNK))

    with pytest.raises(DataError, match="adding took too long and was undone; try again"):
        store.add_many(rows())
    assert store.people() == {} and store.count() == 0 and check_store(store).whole
    store.close()
    other.close()


def test_a_person_who_is_forgotten_meanwhile(url: str) -> None:
    store, other = store_at(url), store_at(url)
    store.add("Ann", [template(1)])

    def rows() -> Iterator[tuple[str, Template]]:
        yield "Ann", template(2)
        yield from (("Bob", template(n)) for n in range(milvus.CHUNK))
        assert other.forget("Ann") == 1
        yield "Ann", template(3)

    with pytest.raises(DataError, match="a person was forgotten meanwhile; try again"):
        store.add_many(rows())
    assert store.people() == {} and store.count() == 0 and check_store(store).whole
    store.close()
    other.close()


def test_a_search_goes_on_until_enough_people_are_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "NEAR", 4)
    monkeypatch.setattr(milvus_connection, "PAGE", 20)
    store = store_at(url)
    held = [(f"p{n % 7 if n % 3 else 0}", template(n)) for n in range(90)]
    store.add_many(held)
    assert store.people() == {f"p{n}": sum(who == f"p{n}" for who, _ in held) for n in range(7)}
    for seed in (1, 300, 301):
        scores = {
            who: max(float(o.vector @ template(seed).vector) for w, o in held if w == who) for who, _ in held
        }
        wanted = sorted(scores.items(), key=lambda item: -item[1])
        for top in (1, 5, 7, 20):
            assert [hit.person for hit in store.search(template(seed).vector, top)] == [
                who for who, _ in wanted[:top]
            ]
        left_out = store.search(template(seed).vector, 3, {wanted[0][0]})
        assert [hit.person for hit in left_out] == [who for who, _ in wanted[1:4]]
    assert store.index_problems() == []
    store.close()


def test_checked_templates_are_not_read_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(url)
    store.add("Ann", [template(1)])
    assert store.damaged_templates() == [] and store._rows([], "batch > 0")
    seen: list[int] = []

    def problems(vectors: list[bytes], length: int | None = None) -> dict[int, str]:
        seen.append(len(vectors))
        return {}

    monkeypatch.setattr(milvus, "vector_problems", problems)
    store.add("Bob", [template(2), template(3)])
    assert store.damaged_templates(unchecked=True) == store.damaged_templates(unchecked=True) == []
    assert store.damaged_templates() == [] and seen == [2, 3]
    store.close()


def test_templates_of_nobody_are_reported(url: str) -> None:
    store = store_at(url)
    store.add("Ann", [template(1)])
    store._milvus.delete(store._milvus.records, 'kind == "person"')
    assert check_store(store).problems == ("1 templates are of no person",)
    assert store.search(template(1).vector, 1) == [] and store.people() == {}
    store.close()


def test_an_approximate_index(tmp_path: Path) -> None:
    url = new_place("milvus", tmp_path)
    store = store_at(url + "&index=hnsw")
    store.add_many((f"p{n}", template(n)) for n in range(300))
    assert store.location.endswith("&index=hnsw")
    assert [store.search(template(n).vector, 1)[0].person for n in range(9)] == [f"p{n}" for n in range(9)]
    described = store._milvus.call("describe_index", store._milvus.templates, "vector")
    assert described["index_type"] == "HNSW"
    store.close()


def test_milvus_lite_has_one_process_at_a_time(url: str) -> None:
    hold = "import sys; from facealike.gallery.location import open_store; open_store(sys.argv[1], 'm'); "
    hold += "print('open', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold, url], text=True, **pipes) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(DataError, match="no other process has it open: Milvus Lite allows one"):
            open_store(url, "m")
        child.stdin.close()
    open_store(url, "m").close()


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ("milvus://ann:sEcret@127.0.0.1:1/staff", DataError, "check the address, the user"),
        ("milvus://ann:sEcret@127.0.0.1:1/Bad-Name", UsageError, "small letters, digits"),
        ("milvus://ann:sEcret@127.0.0.1:1/staff?nonsense=1", UsageError, "unknown option nonsense"),
        ("milvus:///no/such/folder/g.txt", UsageError, r"a file of Milvus Lite ends in \.db"),
        ("milvus:///no/such/folder/g.db", DataError, "dir: .* not exists"),
    ],
)
def test_errors_are_one_sentence_without_the_password(
    place: str, kind: type, message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(milvus_connection, "TIMEOUT", 1)
    with pytest.raises(kind, match=message) as raised:
        open_store(place, "m")
    assert "sEcret" not in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr().err == "", "the client prints nothing"


def test_values_that_milvus_cannot_hold_are_refused(url: str) -> None:
    store = store_at(url)
    with pytest.raises(DataError, match="gallery cannot be used"):
        store.add("Ann", [Template(template(1).vector, "d", None, "x" * 70_000)])
    store.add("Bob", [template(1)])
    with pytest.raises(DataError, match="gallery cannot be used"):
        store.add("Bob", [Template(np.ones(3, np.float32), "e", None, "s")])
    assert store.people() == {"Bob": 1}
    store.close()
    with pytest.raises(DataError, match="the gallery is closed; open it again"):
        store.people()


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("facealike.gallery.adapters.milvus")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtra, match=r"needs pymilvus.*facealike\[milvus\]"):
        open_store("milvus://h:1/db", "m")
