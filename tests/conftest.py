"""The tests' fixtures: a store on each database, a pinned clock, a web client, a browser."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, sync_playwright

from feedback_app import clock as real_clock
from feedback_app.app import create_app
from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.security import keys
from tests.support.blog import Blog, make_blog
from tests.support.browser import QUIET, find_browser
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import BACKENDS, SQLITE
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.memory import prefer_memory
from tests.support.postgres import Postgres, running_postgres
from tests.support.shop import Shop
from tests.support.smtp import MailServer, mail_server

prefer_memory()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The afternoon of the apology, in every part of the program."""
    pinned = Clock(OPPS_DAY)
    monkeypatch.setattr(real_clock, "now", pinned.now)
    return pinned


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, and in it a database with all the tables, from which a test's own are copied."""
    with running_postgres() as server:
        url = server.create("with_tables")
        settings = load_settings({"UNDISCLOSED_INSTANCE": str(server.folder), "UNDISCLOSED_STORE_URL": url} | _keys())
        open_store(settings).close()
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all the tables, from which a test's own are copied."""
    folder = tmp_path_factory.mktemp("template")
    store = open_store(load_settings({"UNDISCLOSED_INSTANCE": str(folder)} | _keys()))
    store.close()
    return folder / "store.db"


def _keys() -> dict[str, str]:
    return {"UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY, "UNDISCLOSED_SECRET_KEY": SECRET_KEY}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database; a test that asks for a store runs once on each."""
    return str(request.param)


@pytest.fixture
def store_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty store with all its tables."""
    if backend == SQLITE:
        target = tmp_path / "instance" / "store.db"
        target.parent.mkdir(parents=True)
        target.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        yield f"sqlite:///{target}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    yield server.create(name, template="with_tables")
    server.drop(name)


@pytest.fixture
def empty_store_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without any table."""
    if backend == SQLITE:
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"empty_{uuid4().hex}"
    yield server.create(name)
    server.drop(name)


@pytest.fixture
def make_settings(store_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a test's own shop; more can be said by name."""

    def make(**more: str) -> Settings:
        values = {"instance": str(tmp_path / "instance"), "store_url": store_url, "site_url": "http://127.0.0.1:8000"}
        values |= {"output": str(tmp_path / "output"), **more}
        return load_settings(_keys() | {f"UNDISCLOSED_{name.upper()}": value for name, value in values.items()})

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """The default settings of a test's own shop."""
    return make_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store, on each database."""
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite alone, where what is tested does not depend on the database."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "store.db").write_bytes(sqlite_template.read_bytes())
    opened = open_store(load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "one")} | _keys()))
    yield opened
    opened.close()


@pytest.fixture
def desk(settings: Settings) -> LetterContext:
    """What letters are written with."""
    return LetterContext(settings, keys.signer(settings))


@pytest.fixture
def app(settings: Settings, store: Store, clock: Clock) -> Flask:  # noqa: ARG001 - its time is pinned
    """The web app."""
    made = create_app(settings, store)
    made.testing = True
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody's browser, without a screen."""
    return app.test_client()


@pytest.fixture
def sink() -> Iterator[MailServer]:
    """A mail server that takes everything and remembers it."""
    with mail_server() as server:
        yield server


@pytest.fixture
def shop(empty_store_url: str, tmp_path: Path) -> Shop:
    """A shop in a folder of its own, with the project's content and theme, once with a store on each database."""
    return Shop.at(tmp_path / "shop", store_url=empty_store_url)


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Shop:
    """A shop with the usual kind of store, where what is tested does not depend on the database."""
    return Shop.at(tmp_path / "shop")


@pytest.fixture
def blog(tmp_path: Path, make_settings: Callable[..., Settings], store: Store) -> Blog:
    """A blog that was not built yet."""
    folder = tmp_path / "blog"
    return make_blog(folder, make_settings(content=str(folder / "content")), store)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_browser(), args=[*QUIET, "--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page; an error in it, or a request that fails or leaves this machine, fails the test."""
    context = browser.new_context()
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(f"error in the page: {error}"))
    opened.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
    opened.on(
        "requestfailed",
        # Whoever goes on to the next page does not wait for the pictures of this one.
        lambda request: (
            None
            if request.failure == "net::ERR_ABORTED"
            else problems.append(f"failed: {request.url}: {request.failure}")
        ),
    )
    opened.on(
        "request",
        lambda request: None if "//127.0.0.1:" in request.url else problems.append(f"went elsewhere: {request.url}"),
    )
    yield opened
    context.close()
    assert not problems, problems


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran on each database."""
    ran = Counter(
        backend
        for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
        for backend in BACKENDS
        if f"[{backend}" in report.nodeid or f"-{backend}" in report.nodeid
    )
    if ran:
        terminalreporter.write_line(", ".join(f"{ran[backend]} tests on {backend}" for backend in BACKENDS))
