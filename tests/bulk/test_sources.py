"""Sources of photos: what each lists, and what becomes of damaged ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from facealike.bulk.listed_people import list_people
from facealike.bulk.listing import list_photos
from facealike.bulk.photo_file import PhotoFile, PhotoRef
from facealike.bulk.tar_files import expand_range
from facealike.errors import DataError, ImageError, MissingExtra, UsageError
from facealike.imaging.photo_warning import PhotoWarning
from support.archives import write_tar
from support.colour_tables import png

fsspec = pytest.importorskip("fsspec")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def listed(*sources: object, people: bool = False) -> list[PhotoRef]:
    return list(list_photos([str(source) for source in sources], people))


def test_a_tar_file_gives_photos_with_the_notes_beside_them(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {
        "x/1.png": png(1), "x/1.cls": b"17\n", "x/2.json": b'{"name": "Ann", "age": 3}', "x/2.png": png(2),
        "x/3.v2.PNG": png(3), "x/3.v2.txt": b"at sea", "x/._4.png": b"no photo", "x/notes.bin": b"?",
        "x/5.png": png(5), "x/5.json": b"not JSON",
    })  # fmt: skip
    with pytest.warns(PhotoWarning, match=r"1 entry is passed over: 1 \(.bin is no photo\)"):
        refs = listed(path)
    assert [ref.key for ref in refs] == ["x/1", "x/2", "x/3.v2", "x/5"]
    assert [ref.person for ref in refs] == ["17", "Ann", None, None]
    assert [ref.metadata and json.loads(ref.metadata) for ref in refs] == [
        None,
        {"age": 3},
        {"text": "at sea"},
        None,
    ]
    assert [PhotoFile(ref).read() for ref in refs] == [png(1), png(2), png(3), png(5)]
    assert refs[0].source == f"{path}::x/1.png"


def test_a_tar_file_that_ends_too_early_gives_what_is_whole_and_a_reason(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(5)})
    whole = path.read_bytes()
    last = listed(path)[4]
    path.write_bytes(whole[: last.offset + 10])
    *good, damaged = listed(path)
    assert [PhotoFile(ref).read() for ref in good] == [png(n) for n in range(4)]
    assert damaged.key == "4" and "ends too early" in str(damaged.problem)
    with pytest.raises(ImageError, match="ends too early"):
        PhotoFile(damaged).read()
    path.write_bytes(whole[: last.offset - 300])  # within the header
    assert [ref.key for ref in listed(path)][:4] == ["0", "1", "2", "3"]


def test_a_photo_whose_bytes_have_gone_from_the_tar_file_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.png": png(0)})
    (ref,) = listed(path)
    path.write_bytes(path.read_bytes()[: ref.offset + 5])
    with pytest.raises(ImageError, match=r"a.tar::0.png: only 5 of its"):
        PhotoFile(ref).read()


def test_what_is_no_tar_file_is_refused(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "a.tar", {"0.png": png(0)})
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(DataError, match="compressed tar file"):
        listed(packed)
    (tmp_path / "b.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(DataError, match="no tar file can be read"):
        listed(tmp_path / "b.tar")
    with pytest.raises(DataError, match=r"nowhere.tar: no tar file can be read \(No such file"):
        listed(tmp_path / "nowhere.tar")


def test_ranges_stand_for_shards(tmp_path: Path) -> None:
    assert expand_range("s-{08..11}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]
    assert expand_range("{1..2}/{0..1}.tar") == ["1/0.tar", "1/1.tar", "2/0.tar", "2/1.tar"]
    assert expand_range("plain.tar") == ["plain.tar"]
    with pytest.raises(UsageError, match="counts upwards"):
        expand_range("s-{3..1}.tar")
    for n in range(2):
        write_tar(tmp_path / f"s-{n}.tar", {f"p{n}.png": png(n)})
    assert [ref.key for ref in listed(tmp_path / "s-{0..1}.tar")] == ["p0", "p1"]


def test_lists_name_photos_people_and_keys(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.png").write_bytes(png(1))
    table = tmp_path / "list.csv"
    table.write_text('name;image;key;metadata\nAnn;sub/1.png;k1;"{""age"": 3}"\n;sub/2.png;;\nBob;;;\nx;y\n')
    first, second, empty, broken = listed(table)
    assert (first.key, first.person, first.metadata) == ("k1", "Ann", '{"age": 3}')
    assert PhotoFile(first).read() == png(1) and (second.key, second.person) == ("sub/2.png", None)
    assert "line 4: a photo is needed" in str(empty.problem) and "2 fields" in str(broken.problem)
    parquet.write_table(
        pyarrow.table({"Path": ["sub/1.png", None], "label": [7, 8], "other": [0.5, 0.5]}),
        tmp_path / "l.parquet",
    )
    first, empty = listed(tmp_path / "l.parquet")
    assert first.person == "7" and PhotoFile(first).read() == png(1) and "row 2" in str(empty.problem)
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column photo"):
        listed(tmp_path / "no.csv")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no Parquet file can be read"):
        listed(tmp_path / "no.parquet")


def test_urls_give_what_paths_give(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe("/bucket/photos/Ann/1.png", png(1))
    memory.pipe("/bucket/photos/.hidden/2.png", png(2))
    memory.pipe("/bucket/photos/Bob/3.png", png(3))
    memory.pipe("/bucket/list.csv", b"photo,person\nphotos/Ann/1.png,A\nmemory://bucket/photos/Bob/3.png,B\n")
    for n in range(2):
        tar = write_tar(tmp_path / f"s-{n}.tar", {f"p{n}.png": png(n)})
        memory.pipe(f"/bucket/s-{n}.tar", tar.read_bytes())
    parquet.write_table(pyarrow.table({"photo": ["photos/Bob/3.png"]}), tmp_path / "l.parquet")
    memory.pipe("/bucket/l.parquet", (tmp_path / "l.parquet").read_bytes())

    def content(*sources: str) -> list[tuple[str, str | None, bytes]]:
        return [(ref.key, ref.person, PhotoFile(ref).read()) for ref in listed(*sources, people=True)]

    assert content("memory://bucket/photos") == [("Ann/1.png", "Ann", png(1)), ("Bob/3.png", "Bob", png(3))]
    assert [(person, data) for _, person, data in content("memory://bucket/list.csv")] == [
        ("A", png(1)), ("B", png(3)),
    ]  # fmt: skip
    shards = [("p0", None, png(0)), ("p1", None, png(1))]
    assert content("memory://bucket/s-{0..1}.tar") == content("memory://bucket/s-*.tar") == shards
    assert content("memory://bucket/l.parquet")[0][2] == png(3)
    assert content("memory://bucket/photos/Ann/1.png")[0][2] == png(1)
    assert content(f"file://{tmp_path}/s-0.tar") == [("p0", None, png(0))]
    (gone,) = listed("memory://bucket/gone.png")
    with pytest.raises(ImageError, match="no such file"):
        PhotoFile(gone).read()
    with pytest.raises(DataError, match="nothing is there"):
        listed("memory://bucket/none")


def test_an_address_that_cannot_be_read_says_why() -> None:
    with pytest.raises(DataError, match="Protocol not known"):
        listed("nonsense://bucket/x")
    (web,) = listed("https://example.org/a.jpg")
    with pytest.raises(ImageError, match="opens no network connection"):
        PhotoFile(web).read()


def test_a_file_system_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec import core

    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(core, "url_to_fs", missing)
    with pytest.raises(MissingExtra, match="needs s3fs, which is not installed; run: pip install s3fs"):
        listed("s3://bucket/photos")


def test_people_come_from_folders_where_a_list_names_none(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "a.tar", {"Ann/1.png": png(1), "2.png": png(2), "Cy/3.png": png(3), "Cy/3.cls": b"C"}
    )
    people = list_people([tar])
    assert [name for name, _ in people.photos] == ["Ann", "C"]
    assert [(one.photo, one.reason) for one in people.refused] == [
        (f"{tar}::2.png", "no person is stated for this photo")
    ]
    (tmp_path / "list.csv").write_text("photo,person\nAnn/1.png,\n")
    assert [ref.person for ref in listed(tmp_path / "list.csv", people=True)] == [None], (
        "a list states people"
    )
    lone = write_tar(tmp_path / "b.tar", {"2.png": png(2)})
    with pytest.raises(DataError, match="no photo with a person is left to enroll"):
        list_people([lone])
