"""What an operator may do wrong: one problem document that says what to mend, and nothing that leaks."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from facealike import rekey_gallery, write_new_key
from facealike.errors import DataError
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.service.server import check_data
from support.gallery_templates import template
from support.service_app import photo, running, service_model, settings

MODEL = service_model()
PATH = "/v1/galleries/office/people"
NOBODY = 65534


def gallery_file(folder: Path) -> Path:
    return folder / "galleries" / "office.db"


def enroll(client: TestClient, person: str = "Zebulon", number: int = 0) -> Any:
    return client.post(PATH, files={"photos": photo(number)}, data={"person": person})


def requests(client: TestClient) -> list[Any]:
    """One answer of each operation on a gallery."""
    body = {"photo": photo(1)}
    return [
        client.get(PATH),
        client.post("/v1/galleries/office/identify", files=body),
        client.post("/v1/galleries/office/verify", files=body, data={"person": "Zebulon"}),
        enroll(client, "Yorick", 1),
        client.delete(f"{PATH}/Zebulon"),
    ]


def check_refused(client: TestClient, folder: Path, word: str, ready: bool = False) -> None:
    """Every operation on the gallery says what to mend and nothing else; readyz says so, too."""
    for answer in requests(client):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["error"] == "ServiceError" and "retry-after" not in answer.headers
        assert told["detail"].startswith("the gallery office cannot be used: ") and word in told["detail"]
        check_nothing_leaks(answer.text, folder)
    assert client.get("/healthz").status_code == 200
    check_ready(client, folder, None if ready else word)
    assert client.post("/v1/detect", files={"photo": photo()}).status_code == 200


def check_ready(client: TestClient, folder: Path, word: str | None) -> None:
    answer = client.get("/readyz")
    if word is None:
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        return
    assert answer.status_code == 503 and answer.json()["status"] == "not ready"
    assert word in answer.json()["reason"]
    check_nothing_leaks(answer.text, folder)
    assert "office" not in answer.text, "readyz needs no key"


def check_nothing_leaks(text: str, folder: Path) -> None:
    for secret in (str(folder), "Zebulon", "office.db", ".key", "sqlite", "Traceback"):
        assert secret not in text


def close_galleries(client: TestClient) -> None:
    galleries = client.app.state.resources.galleries  # type: ignore[attr-defined]
    galleries._thread.submit(galleries._close_all).result()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "one.key"
    write_new_key(path)
    return path


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readyz try an unusable gallery each time, so that no test waits for a second."""
    monkeypatch.setattr("facealike.service.galleries.TRY_AGAIN", 0)


def test_an_encrypted_gallery_without_its_key_or_with_another(tmp_path: Path, key: Path) -> None:
    with running(tmp_path, MODEL, key_file=key) as client:
        assert enroll(client).json()["added"] == 1
        check_ready(client, tmp_path, None)
    with running(tmp_path, MODEL) as client:
        check_ready(client, tmp_path, "the service has no key; give it by --key-file")
        check_refused(client, tmp_path, "the service has no key; give it by --key-file")
    write_new_key(tmp_path / "other.key")
    with running(tmp_path, MODEL, key_file=tmp_path / "other.key") as client:
        check_refused(client, tmp_path, "encrypted with another key than that of the service")
    with running(tmp_path, MODEL, key_file=key) as client:
        assert client.get(PATH).json()["people"] == {"Zebulon": 1}


def test_a_plain_gallery_where_the_service_has_a_key(tmp_path: Path, key: Path) -> None:
    with running(tmp_path, MODEL) as client:
        enroll(client)
    with running(tmp_path, MODEL, key_file=key) as client:
        check_refused(client, tmp_path, "not encrypted; encrypt it with facealike gallery encrypt")


def test_a_key_that_is_changed_or_lost_while_the_service_runs(tmp_path: Path, key: Path) -> None:
    write_new_key(tmp_path / "new.key")
    with running(tmp_path, MODEL, key_file=key) as client:
        assert enroll(client).json()["added"] == 1
        rekey_gallery(gallery_file(tmp_path), tmp_path / "new.key", key)
        answers = requests(client)
        assert {one.status_code for one in answers} == {503}
        assert "its key was changed" in answers[0].json()["detail"]
        check_refused(client, tmp_path, "another key than that of the service")
        shutil.copy(tmp_path / "new.key", key)
        check_ready(client, tmp_path, None)
        assert client.get(PATH).json()["people"] == {"Zebulon": 1}, "mended without a restart"
        gallery_file(tmp_path).rename(tmp_path / "galleries" / "other.db")
        key.write_text("no key")
        answer = client.get("/v1/galleries/other/people")
        assert (
            answer.status_code == 503 and "the key of the service cannot be read" in answer.json()["detail"]
        )
        check_ready(client, tmp_path, "the key of the service cannot be read")


def test_a_gallery_of_another_model(tmp_path: Path) -> None:
    gallery_file(tmp_path).parent.mkdir()
    with closing(SQLiteStore(gallery_file(tmp_path), "another model")) as store:
        store.add("Zebulon", [template(1)])
    with running(tmp_path, MODEL) as client:
        check_refused(client, tmp_path, "templates of another model than that of the service; move it with")


@pytest.mark.parametrize("damage", ["text", "header", "pages", "template", "other program", "newer"])
def test_a_file_that_is_damaged_or_no_gallery(tmp_path: Path, damage: str) -> None:
    with running(tmp_path, MODEL) as client:
        enroll(client)
    path = gallery_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "text":
        path.write_text("no database, and quite some text" * 200)
    elif damage == "header":
        path.write_bytes(bytes(100) + content[100:])
    elif damage == "pages":
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif damage == "other program":
        path.unlink()
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE people (x)")
    else:
        with closing(sqlite3.connect(path)) as db:
            if damage == "template":
                db.execute("UPDATE templates SET vector = zeroblob(64)")
            else:
                db.execute("PRAGMA user_version = 99")
            db.commit()
    with running(tmp_path, MODEL) as client:
        word = "update the service" if damage == "newer" else "facealike gallery check examines it"
        check_refused(client, tmp_path, word)


def test_one_gallery_of_several_does_not_take_the_service_away(tmp_path: Path) -> None:
    with running(tmp_path, MODEL) as client:
        enroll(client)
        client.post("/v1/galleries/other/people", files={"photos": photo()}, data={"person": "Ann"})
    gallery_file(tmp_path).write_bytes(b"damaged" * 1000)
    with running(tmp_path, MODEL) as client:
        check_ready(client, tmp_path, None)
        check_refused(client, tmp_path, "damaged", ready=True)
        assert client.get("/v1/galleries/other/people").json()["people"] == {"Ann": 1}
        assert "facealike_galleries_unusable 1.0" in client.get("/metrics").text
        gallery_file(tmp_path).unlink()
        assert client.get(PATH).status_code == 404
        assert "facealike_galleries_unusable 0.0" in client.get("/metrics").text


def test_a_full_disk_loses_nothing_and_works_again_with_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[int] = []
    real = SQLiteStore.__init__

    def opened(self: SQLiteStore, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        if pages:  # SQLite reports the same as where the file system is full
            self._db.execute(f"PRAGMA max_page_count = {pages[0]}")

    monkeypatch.setattr(SQLiteStore, "__init__", opened)
    with running(tmp_path, MODEL) as client:
        assert enroll(client).json()["added"] == 1
        pages.append(1)
        close_galleries(client)
        names = iter(range(1, 1000))
        while (answer := enroll(client, f"Person {next(names)}", 1)).status_code == 200:
            pass
        assert answer.status_code == 503 and "the disk is full; free some space" in answer.json()["detail"]
        check_nothing_leaks(answer.text, tmp_path)
        people = client.get(PATH).json()["people"]
        assert people["Zebulon"] == 1 and len(people) == next(names) - 1, "no more and no fewer"
        pages[0] = 10_000
        close_galleries(client)
        assert enroll(client, "Later", 2).json()["added"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_nothing_is_answered_that_the_audit_log_cannot_hold(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to("/dev/full")
    with running(tmp_path, MODEL) as client:
        for _ in range(2):
            answer = enroll(client)
            assert answer.status_code == 503
            assert "the audit log cannot be written (No space left on device)" in answer.json()["detail"]
            check_nothing_leaks(answer.text, tmp_path)
        found = client.post("/v1/galleries/office/identify", files={"photo": photo(0)})
        assert found.status_code == 503 and "candidates" not in found.text
        assert client.get(PATH).json()["people"] == {"Zebulon": 1}, "a photo counts once"


def test_an_entry_that_a_full_disk_has_cut_off_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    with running(tmp_path, MODEL) as client:
        with monkeypatch.context() as patch:
            patch.setattr("facealike.service.audit_log.os.write", lambda file, line: real(file, line[:20]))
            assert "the disk is full" in enroll(client).json()["detail"]
        assert enroll(client).json()["known"] == 1
    cut, whole = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert len(cut) == 20 and json.loads(whole)["outcome"] == "enrolled"


def test_a_gallery_that_is_removed_or_replaced_while_the_service_runs(tmp_path: Path) -> None:
    path = gallery_file(tmp_path)
    with running(tmp_path, MODEL) as client:
        enroll(client)
        path.unlink()
        assert client.get(PATH).status_code == 404 and client.get("/v1/galleries").json()["galleries"] == []
        check_ready(client, tmp_path, None)
        assert enroll(client, "Yorick").json()["added"] == 1
        assert client.get(PATH).json()["people"] == {"Yorick": 1}
        other = tmp_path / "other.db"
        with closing(SQLiteStore(other, MODEL.id)) as store:
            store.add("Xaver", [template(1)])
        other.replace(path)  # as a restored copy
        assert client.get(PATH).json()["people"] == {"Xaver": 1}
        assert enroll(client, "Later").json()["added"] == 1
    with closing(SQLiteStore(path, MODEL.id)) as store:
        assert set(store.people()) == {"Xaver", "Later"}, "nothing is written to the removed file"


def test_another_process_that_reads_on_is_named_and_the_person_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.gallery.schema.BUSY_TIMEOUT", 50)
    with running(tmp_path, MODEL) as client:
        enroll(client)
        with closing(sqlite3.connect(gallery_file(tmp_path), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM templates").fetchone()
            answer = client.delete(f"{PATH}/Zebulon")
            assert answer.status_code == 503 and "not erased from the file yet" in answer.json()["detail"]
            check_nothing_leaks(answer.text, tmp_path)
        assert client.get(PATH).json()["people"] == {}
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [one["outcome"] for one in lines] == ["enrolled", "forgotten, not erased"]
    assert b"Zebulon" not in gallery_file(tmp_path).read_bytes()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user who may not write what is read-only, as root may."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@posix
def test_a_file_or_folder_that_cannot_be_written(unprivileged: Path) -> None:
    folder = unprivileged
    with running(folder, MODEL) as client:
        enroll(client)
        (folder / "galleries").chmod(0o500)
        new = client.post("/v1/galleries/new/people", files={"photos": photo()}, data={"person": "Ann"})
        assert new.status_code == 503 and "check its permissions and the disk" in new.json()["detail"]
        check_nothing_leaks(new.text, folder)
    gallery_file(folder).chmod(0o400)
    with running(folder, MODEL) as client:
        listed, found, verified, *writes = requests(client)
        assert {one.status_code for one in (listed, found, verified)} == {200}, "reading needs no writing"
        for answer in writes:
            assert answer.status_code == 503 and "cannot be written; allow it" in answer.json()["detail"]
            check_nothing_leaks(answer.text, folder)
        check_ready(client, folder, None)
    gallery_file(folder).chmod(0o000)
    with running(folder, MODEL) as client:
        check_refused(client, folder, "its file cannot be opened; check its permissions")
    (folder / "galleries").chmod(0o000)
    with running(folder, MODEL) as client:
        assert client.get("/v1/galleries").status_code == 503
        check_refused(client, folder, "cannot be", ready=False)
    (folder / "galleries").chmod(0o700)
    folder.chmod(0o500)
    with running(folder, MODEL) as client:
        check_ready(client, folder, "the data folder of the service cannot be written")
    folder.chmod(0o700)


@posix
def test_the_start_is_refused_where_the_data_folder_cannot_be_written(unprivileged: Path) -> None:
    folder = unprivileged
    (folder / "inner").mkdir(mode=0o500)
    for data in (folder / "inner", folder / "inner" / "deeper"):
        with pytest.raises(
            DataError, match=r"the service cannot write there \(Permission denied\); allow it"
        ):
            check_data(settings(data))
    (folder / "file").write_text("")
    with pytest.raises(DataError, match="name another folder with --data"):
        check_data(settings(folder / "file"))
    check_data(settings(folder / "new"))
