"""The outbox's pages: for trying the shop out, reachable from this machine only."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from feedback_app.app import Serving, create_app
from feedback_app.config import Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import request_link
from feedback_app.db.store import Store
from feedback_app.mailing.delivery.worker import mail_worker
from feedback_app.mailing.letters.context import LetterContext
from tests.support.clock import Clock
from tests.support.mailings import gather, held
from tests.support.people import ALICE


@pytest.fixture
def backend() -> str:
    """SQLite only: these pages show files, and the database does not matter."""
    return "sqlite"


@pytest.fixture
def outbox(settings: Settings) -> Path:
    """The folder of the letters."""
    return settings.instance / "outbox"


@pytest.fixture
def letters(store: Store, settings: Settings, desk: LetterContext, clock: Clock, outbox: Path) -> list[str]:
    """A link letter and a mailing to Alice in the outbox, as the names of their files."""
    gather(store, ALICE)
    with store.writing() as session:
        request_link(session, Address.parse(ALICE.address), now=clock.now(), quiet=False)
    held(store, minutes=0, clock=clock)
    with mail_worker(store, settings, desk) as worker:
        worker.work_once()
    return sorted(path.name for path in outbox.iterdir())


def visitor(settings: Settings, store: Store, serving: Serving | None) -> FlaskClient:
    """A browser on another machine."""
    return create_app(settings, store, serving).test_client()


@pytest.fixture
def here(settings: Settings, store: Store) -> FlaskClient:
    """A browser on the machine on which `undisclosed serve` runs."""
    return visitor(settings, store, Serving(loopback=True, workers=frozenset()))


def test_every_letter_is_listed_newest_first(here: FlaskClient, letters: list[str]) -> None:
    page = BeautifulSoup(here.get("/outbox/").data, "html5lib")
    listed = [str(link["href"]) for link in page.select("ul.outbox a")]
    assert listed == [f"/outbox/{name}" for name in reversed(letters)]
    shown = BeautifulSoup(here.get(listed[0]).data, "html5lib")
    assert ALICE.address in shown.get_text()
    assert "Hello Alice Adams." in shown.get_text()


def test_an_empty_outbox_says_so(here: FlaskClient) -> None:
    assert b"No letters yet" in here.get("/outbox/").data


def test_the_links_of_a_letter_can_be_followed_from_its_page_and_lead_to_the_app(
    here: FlaskClient, letters: list[str]
) -> None:
    page = BeautifulSoup(here.get(f"/outbox/{letters[-1]}").data, "html5lib")
    links = [str(link["href"]) for link in page.select("pre a")]
    for kind in ("unsubscribe", "preferences"):
        [link] = {link for link in links if f"/feedback/{kind}/" in link}
        assert here.get(link).status_code == 200


@pytest.mark.parametrize("serving", [None, Serving(loopback=False, workers=frozenset())])
def test_there_is_no_outbox_where_others_could_reach_it(
    serving: Serving | None, settings: Settings, store: Store, letters: list[str]
) -> None:
    browser = visitor(settings, store, serving)
    for path in ("/outbox/", f"/outbox/{letters[0]}", f"/outbox/{letters[0]}/html"):
        assert browser.get(path).status_code == 404


def test_there_is_no_outbox_if_letters_really_leave(
    make_settings: Callable[..., Settings], store: Store, letters: list[str]
) -> None:
    settings = make_settings(smtp_url="smtp://127.0.0.1:25")
    browser = visitor(settings, store, Serving(loopback=True, workers=frozenset()))
    assert browser.get(f"/outbox/{letters[0]}").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.0.2.1:8000"])
def test_a_foreign_name_that_points_to_this_machine_gets_nothing(
    host: str, here: FlaskClient, letters: list[str]
) -> None:
    for path in ("/outbox/", f"/outbox/{letters[0]}", f"/outbox/{letters[0]}/html"):
        assert here.get(path, headers={"Host": host}).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "[::1]:8000", "[::1]"])
def test_this_machine_is_known_by_all_its_names(host: str, here: FlaskClient, letters: list[str]) -> None:
    assert here.get(f"/outbox/{letters[0]}", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../store.db",
        "..%2Fstore.db",
        "%2e%2e/store.db",
        "....//store.db",
        "/etc/passwd",
        "store.db",
        "notes.eml",
        ".20071010T134100000000-00000000.eml",
        "20071010T134100000000-00000000.eml",
        "20071010T134100000000-00000000.eml%00",
        "20071010T134100000000-00000000.eml%0a",
    ],
)
def test_the_outbox_serves_nothing_but_letters(name: str, here: FlaskClient, outbox: Path) -> None:
    outbox.mkdir()
    for file in ("notes.eml", ".20071010T134100000000-00000000.eml"):
        (outbox / file).write_bytes(b"Subject: not a letter\r\n\r\nsecret\r\n")
    for path in (f"/outbox/{name}", f"/outbox/{name}/html"):
        answer = here.get(path)
        assert answer.status_code in {308, 404}
        assert b"secret" not in answer.data
    assert b"not a letter" not in here.get("/outbox/").data


def test_no_script_in_a_framed_letter_can_run(here: FlaskClient, letters: list[str]) -> None:
    page = here.get(f"/outbox/{letters[-1]}")
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    frame = here.get(f"/outbox/{letters[-1]}/html")
    policy = frame.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert frame.headers["Cache-Control"] == page.headers["Cache-Control"] == "no-store"


def test_the_letters_own_style_is_allowed_by_its_hash(here: FlaskClient, letters: list[str]) -> None:
    frame = here.get(f"/outbox/{letters[-1]}/html")
    [style] = BeautifulSoup(frame.text, "html5lib").find_all("style")
    digest = base64.b64encode(hashlib.sha256(str(style.string).encode()).digest()).decode()
    assert re.findall(r"'sha256-([^']+)'", frame.headers["Content-Security-Policy"]) == [digest]


def test_a_letters_file_is_private_and_its_name_tells_nothing(letters: list[str], outbox: Path) -> None:
    assert len(letters) == 2
    for name in letters:
        assert re.fullmatch(r"\d{8}T\d{12}-[0-9a-f]{8}\.eml", name)
        assert (outbox / name).stat().st_mode & 0o777 == 0o600
