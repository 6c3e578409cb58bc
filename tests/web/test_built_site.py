"""The built site, served while the builder replaces its pages."""

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
    """A site folder with one page."""
    folder = tmp_path / "output"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_bytes(SHORT)
    return folder


@pytest.fixture
def reader(make_settings: Callable[..., Settings], store: Store, output: Path) -> FlaskClient:
    """A reader's browser."""
    settings = make_settings()
    assert settings.output.resolve() == output.resolve()
    return create_app(settings, store, Serving(loopback=True, workers=frozenset())).test_client()


@pytest.fixture
def publishing(output: Path) -> Iterator[None]:
    """A thread that keeps replacing the page, by a short and a long one in turn, until the test ends."""
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
def test_a_page_replaced_during_a_request_is_the_old_one_or_the_new_one(reader: FlaskClient) -> None:
    seen = set()
    for _ in range(3000):
        answer = reader.get("/", buffered=True)
        assert answer.status_code == HTTPStatus.OK
        assert answer.data in {SHORT, LONG}
        assert answer.content_length == len(answer.data)
        seen.add((answer.data, answer.content_length))
    assert len(seen) == 2, "the page was never replaced"


def test_an_unchanged_page_is_answered_with_304(reader: FlaskClient, output: Path) -> None:
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
def test_a_range_of_a_file_is_served_if_it_exists(
    reader: FlaskClient, asked: str, status: int, got: bytes | None
) -> None:
    answer = reader.get("/", headers={"Range": asked}, buffered=True)
    assert answer.status_code == status
    assert got in {None, answer.data}


@pytest.mark.parametrize(
    "path", ["/gone.html", "/index.html/more", "/..%2fstore.db", "/.hidden", "/%00", f"/{'x' * 300}"]
)
def test_a_path_outside_the_site_is_not_found(reader: FlaskClient, output: Path, path: str) -> None:
    (output / ".hidden").write_text("secret")
    assert reader.get(path).status_code == HTTPStatus.NOT_FOUND
