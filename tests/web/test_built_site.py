"""The built site, given out while the publisher puts new pages into it."""

import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from feedback_app.app import Serving, create_app
from feedback_app.config import Settings
from feedback_app.db.store import Store

SHORT, LONG = b"<p>Bcc.</p>", b"<p>Bcc.</p>" * 700


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of the site, with one page in it."""
    folder = tmp_path / "output"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_bytes(SHORT)
    return folder


@pytest.fixture
def reader(make_settings: Callable[..., Settings], store: Store, output: Path) -> FlaskClient:
    """Somebody who reads the site."""
    settings = make_settings()
    assert settings.output.resolve() == output.resolve()
    return create_app(settings, store, Serving(loopback=True, workers=frozenset())).test_client()


@pytest.fixture
def publishing(output: Path) -> Iterator[None]:
    """A publisher who replaces the page without a pause, once short, once long, until the end of the test."""
    ended = threading.Event()

    def replace() -> None:
        while not ended.is_set():
            for page in (LONG, SHORT):
                (output / "next").write_bytes(page)
                (output / "next").replace(output / "index.html")

    publisher = threading.Thread(target=replace)
    publisher.start()
    yield
    ended.set()
    publisher.join()


@pytest.mark.usefixtures("publishing")
def test_a_page_that_is_replaced_while_it_is_asked_for_is_the_old_one_or_the_new_one(reader: FlaskClient) -> None:
    seen = set()
    for _ in range(3000):
        answer = reader.get("/", buffered=True)
        assert answer.status_code == HTTPStatus.OK
        assert answer.data in {SHORT, LONG}
        assert answer.content_length == len(answer.data)
        seen.add((answer.data, answer.content_length))
    assert len(seen) == 2, "the page was never replaced"


def test_a_reader_who_has_a_page_is_told_so_until_it_changes(reader: FlaskClient, output: Path) -> None:
    known = {"If-None-Match": reader.get("/", buffered=True).headers["ETag"]}
    assert reader.get("/", headers=known, buffered=True).status_code == HTTPStatus.NOT_MODIFIED
    (output / "next").write_bytes(SHORT[::-1])
    (output / "next").replace(output / "index.html")
    again = reader.get("/", headers=known, buffered=True)
    assert (again.status_code, again.data) == (HTTPStatus.OK, SHORT[::-1])


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [("bytes=3-5", 206, b"Bcc"), ("bytes=-4", 206, b"</p>"), ("bytes=99-", 416, None)],
)
def test_a_part_of_a_file_is_given_out_where_it_is_there(
    reader: FlaskClient, asked: str, status: int, got: bytes | None
) -> None:
    answer = reader.get("/", headers={"Range": asked}, buffered=True)
    assert answer.status_code == status
    assert got in {None, answer.data}


@pytest.mark.parametrize(
    "path", ["/gone.html", "/index.html/more", "/..%2fstore.db", "/.hidden", "/%00", f"/{'x' * 300}"]
)
def test_what_is_not_in_the_site_is_not_found(reader: FlaskClient, output: Path, path: str) -> None:
    (output / ".hidden").write_text("secret")
    assert reader.get(path).status_code == HTTPStatus.NOT_FOUND
