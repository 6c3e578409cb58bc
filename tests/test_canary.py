"""The canary test: made-up secrets in every field, every page and command used, and no secret left behind.

To look in a new place, add a `Place` to `left_behind`; to guard a new secret, add it to `Secrets.canaries`.
"""

import base64
import http.client
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import make_url, text

from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from tests.support.canary import Arguments, Found, Place, encodings, files, search
from tests.support.commands import COMMANDS
from tests.support.postgres import Postgres, find_postgres
from tests.support.shop import ROOT, Shop, wait_for
from tests.support.smtp import MailServer, Received, mail_server

ALICE, BOB = "Wilhelmina.Featherstone@canary-one.example", "Ebenezer.Quillpot@canary-two.example"
TYPO = "Typed.By.Mistake@canary-three.example"
FORWARDED_FOR = "203.0.113.177"
COMES_FROM = "127.0.0.77"
PASSWORD = "Pass-of-the-database-9173"
LINK = re.compile(r"/feedback/(?:preferences|unsubscribe)/([\w=-]{30,})")


@dataclass(slots=True)
class Secrets:
    """The made-up secrets that must not be found."""

    shop: Shop
    tokens: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)

    def remember_keys(self) -> None:
        """Return the current keys; a rotation changes them."""
        for path in sorted((self.shop.instance / "keys").iterdir()):
            for item in path.read_bytes().strip().split(b","):
                text = item.removeprefix(b"lookup:")
                self.keys[f"key {text[:4].decode()} of {path.name}, text"] = text
                self.keys[f"key {text[:4].decode()} of {path.name}, bytes"] = base64.urlsafe_b64decode(text)

    def canaries(self) -> dict[str, bytes]:
        """Return every secret by a label that says whose it is."""
        return {
            "alice's address": ALICE.encode(),
            "alice's mailbox": ALICE.partition("@")[0].encode(),
            "alice's name": b"Wilhelmina Featherstone",
            "bob's address": BOB.encode(),
            "bob's mailbox": BOB.partition("@")[0].encode(),
            "bob's name": b"Ebenezer Quillpot",
            "an address typed by mistake": TYPO.encode(),
            "an address on a bad line": b"Bad.Line@canary-four.example",
            "where somebody came from": COMES_FROM.encode(),
            "whom a proxy came for": FORWARDED_FOR.encode(),
            "the database's password": PASSWORD.encode(),
            **self.keys,
            **self.tokens,
        }


@dataclass(slots=True)
class Visitor:
    """A browser with its own network address and cookies."""

    shop: Shop
    cookie: str = ""
    pages: list[Place] = field(default_factory=list)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "", own: str = "") -> str:
        """Request a page, and keep the answer to be searched."""
        parts = urlsplit(self.shop.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, source_address=(COMES_FROM, 0))
        headers = {"X-Forwarded-For": FORWARDED_FOR, "Forwarded": f"for={FORWARDED_FOR}"}
        headers |= {"Cookie": self.cookie} if self.cookie else {}
        headers |= {"Content-Type": kind} if kind else {}
        # The server may close the connection before the end of a body that is far too large.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, headers)
        try:
            answer = connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.HTTPException):
            return ""
        data = answer.read()
        if sent := answer.getheader("Set-Cookie"):
            self.cookie = sent.partition(";")[0]
        said = f"{answer.status} {answer.headers}".encode() + data
        # An answer may repeat what the same browser typed or asked for.
        self.pages.append(Place(f"{method} {path.partition('?')[0][:40]}", said, frozenset(own.split("|"))))
        connection.close()
        return data.decode("utf-8", "replace")

    def fill(self, path: str, own: str = "", **fields: str) -> str:
        """Open a form, fill it in and send it."""
        form = self.ask("GET", path, own=own)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
        fields |= {"csrf_token": token.group(1)} if token else {}
        return self.ask("POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded", own)


def refuses_bob(verb: str, taken: int) -> str | None:
    """A mail server that quotes addresses in its answers and refuses the fourth letter."""
    if verb == "RCPT" and taken == 3:
        return f"550 5.1.1 <{BOB}>: no such user, nor {ALICE}"
    return f"250 2.1.5 <{ALICE}> ok" if verb == "RCPT" else None


@dataclass(slots=True)
class Driven:
    """The traces of a shop whose every page and command was used."""

    secrets: Secrets
    visitor: Visitor
    printed: list[Place]
    letters: list[Received]
    arguments: Arguments


def drive(shop: Shop) -> Driven:
    """Use every page and command of the shop, rightly and wrongly."""
    visitor, secrets = Visitor(shop), Secrets(shop)
    printed: list[Place] = []
    with mail_server(refuses_bob) as server, Arguments().watched() as arguments:
        with shop.serving(smtp_url=server.url):
            _read_and_comment(visitor)
            _ask_for_links(visitor, secrets, server)
            secrets.remember_keys()
            printed += _run_commands(shop, server)
            secrets.remember_keys()
            _ask_wrongly(visitor)
            _break_the_store(shop, visitor)
        letters = list(server.letters)
    return Driven(secrets, visitor, printed, letters, arguments)


def _read_and_comment(visitor: Visitor) -> None:
    for path in ("/", "/2007/10/opps.html", "/feeds/comments.atom.xml", "/feedback/health"):
        visitor.ask("GET", path)
    form = "/feedback/comments/new?post=/2007/10/opps.html"
    typed = "alice's address|alice's mailbox|an address typed by mistake"
    visitor.fill(form, author="Nora", email=ALICE, body="Lovely socks", action="preview", own=typed)
    visitor.fill(form, author="Nora", email=ALICE, body="Lovely socks", action="post", own=typed)
    visitor.fill(form, author="Nora", email=f"{TYPO} and more", body="Lovely", action="post", own=typed)
    # An address in a text is masked wherever others can see it.
    visitor.fill(form, author="Eve", body=f"Write to {TYPO}, he is there", action="post", own=typed)
    for number in ("1", "2"):
        visitor.shop.run("comments", "approve", number)


def _ask_for_links(visitor: Visitor, secrets: Secrets, server: MailServer) -> None:
    for number, address in enumerate((ALICE, BOB), 1):
        visitor.fill("/feedback/preferences", email=address, own="")
        wait_for(lambda: len(server.letters) >= number, "the letter with the link")  # noqa: B023 - asked at once
    visitor.fill("/feedback/preferences", email=f"{TYPO} x", own="an address typed by mistake")
    for letter in server.letters:
        whose = letter.recipients[0].partition(".")[0].lower()
        secrets.tokens |= {f"{whose}'s token {number}": token for number, token in enumerate(tokens(letter.data))}
    names = {"wilhelmina": "Wilhelmina Featherstone", "ebenezer": "Ebenezer Quillpot"}
    for label, token in list(secrets.tokens.items()):
        whose = label.partition("'")[0]
        person = "alice" if whose == "wilhelmina" else "bob"
        own = f"{person}'s name|{person}'s address|{person}'s mailbox|{label}"
        path = f"/feedback/preferences/{token.decode()}"
        choices = {"specials": "each", "news": "never", "replies": "never", "format": "html", "name_display": "full"}
        visitor.fill(path, name=names[whose], pause_until="", **choices, own=own)
        visitor.ask("GET", f"{path}?show=address", own=own)
        visitor.ask("GET", path[:-3], own=own)


def tokens(letter: bytes) -> list[bytes]:
    """Return the tokens of a letter's links."""
    body = message_from_bytes(letter, policy=policy.default).get_body(("plain",))
    assert body is not None
    return [token.encode() for token in dict.fromkeys(LINK.findall(body.get_content()))]


def _run_commands(shop: Shop, server: MailServer) -> list[Place]:
    """Run every command that must not print an address, rightly and wrongly."""
    bad = shop.folder / "bad.csv"
    bad.write_text("email,name\nBad.Line@canary-four.example,=1+1\nBad.Line@canary-four.example;x,\n", encoding="utf-8")
    imported = ("customers", "import", str(bad), "--topic", "specials", "--evidence", "A list")
    mailing = str(shop.folder / "content" / "mailings" / "free-socks.md")
    naming = shop.folder / "naming.md"
    naming.write_text(f"Subject: Hi\nTopic: specials\nSlug: naming\n\nWrite to {TYPO}\n", encoding="utf-8")
    runs = [
        (imported, 3),
        (("mail", "send", str(naming)), 1),
        (("mail", "send", mailing, "--hold", "0", "--wait"), 3),
        (("mail", "status", "free-socks"), 0),
        (("mail", "cancel", "free-socks"), 1),
        (("customers", "show", f"{TYPO}"), 1),
        (("customers", "show", BOB), 0),
        (("customers", "export", BOB), 0),
        (("customers", "export", f"{TYPO} x"), 1),
        (("customers", "erase", TYPO), 0),
        (("db", "backup", str(shop.folder / "backup.db")), 0),
        (("db", "rotate-keys"), 0),
        (("db", "purge"), 0),
        (("doctor",), None),
        (("build", "--full"), 0),
        (("comments", "list", "--status", "spam"), 0),
    ]
    done = []
    for arguments, code in runs:
        ended = COMMANDS.run(arguments, folder=shop.folder, environment=shop.environment(smtp_url=server.url))
        assert code is None or ended.returncode == code, (arguments, ended.stdout, ended.stderr)
        # The shop asked for Bob's data: the answer shows Bob's address and no other.
        own = frozenset({"bob's address", "bob's mailbox", "bob's name"}) if BOB in arguments else frozenset[str]()
        done.append(Place(f"what {' '.join(arguments[:2])} printed", (ended.stdout + ended.stderr).encode(), own))
    return done


def _ask_wrongly(visitor: Visitor) -> None:
    form = "application/x-www-form-urlencoded"
    typed = "an address typed by mistake"
    visitor.ask("GET", f"/{TYPO}")
    visitor.ask("GET", f"/feedback/preferences/{TYPO}")
    visitor.ask("GET", f"/feedback/unsubscribe/{TYPO}?{urlencode({'email': TYPO})}")
    visitor.ask("POST", "/feedback/preferences", urlencode({"email": TYPO}).encode(), form, own=typed)
    visitor.ask("POST", "/feedback/comments/new?post=/no", urlencode({"body": TYPO}).encode(), form, own=typed)
    visitor.ask("POST", "/feedback/comments/new?post=/2007/10/opps.html", TYPO.encode() * 20_000, form)
    visitor.ask("PUT", f"/feedback/preferences?{urlencode({'email': TYPO})}")
    visitor.ask("POST", f"/feedback/unsubscribe/{TYPO}", b"\xff\xfe", "multipart/form-data; boundary=x")


def _break_the_store(shop: Shop, visitor: Visitor) -> None:
    """Drop a table under the running app, so that it fails while it handles secrets."""
    store = open_store(load_settings(shop.environment() | {"UNDISCLOSED_INSTANCE": str(shop.instance)}))
    with store.writing() as session:
        session.execute(text("ALTER TABLE typed_addresses RENAME TO typed_addresses_away"))
    said = visitor.fill("/feedback/preferences", email=ALICE)
    assert "Something broke" in said
    with store.writing() as session:
        session.execute(text("ALTER TABLE typed_addresses_away RENAME TO typed_addresses"))
    store.close()


def left_behind(driven: Driven) -> Iterator[Place]:
    """Return everything that another person could see."""
    shop = driven.secrets.shop
    yield from files(shop.output)
    # The outbox is local, and the keys are secret themselves.
    yield from files(shop.instance, without=("keys/", "outbox/"))
    yield Place("the log", (shop.folder / "serve.log").read_bytes())
    yield from backup(shop.folder / "backup.db")
    yield from driven.visitor.pages
    yield from driven.printed
    for number, letter in enumerate(driven.letters):
        person = "alice" if ALICE in letter.recipients else "bob"
        whose = "wilhelmina" if person == "alice" else "ebenezer"
        own = {f"{person}'s name", f"{person}'s address", f"{person}'s mailbox"}
        own |= {label for label in driven.secrets.tokens if label.startswith(whose)}
        yield Place(f"letter {number}", letter.data, frozenset(own))
    for arguments in driven.arguments.seen:
        # These commands were given the address as an argument.
        if b"feedback_app\0customers\0" not in arguments:
            yield Place("the arguments of a process", arguments)


def backup(file: Path) -> Iterator[Place]:
    """Return a backup's bytes, and its unpacked content: PostgreSQL's is compressed."""
    data = file.read_bytes()
    yield Place("the backup", data)
    if data.startswith(b"PGDMP"):
        programs = find_postgres()
        assert programs
        command = [str(programs / "pg_restore"), "--file=-", str(file)]
        yield Place("the backup, unpacked", subprocess.run(command, capture_output=True, check=True).stdout)


def complaint(found: list[Found]) -> str:
    return "\n".join(f"{one.canary} ({one.encoding}) in {one.place}" for one in found)


def test_no_secret_told_to_the_shop_is_found_in_what_it_leaves_behind(
    empty_store_url: str, backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = empty_store_url.replace("postgres@", f"postgres:{PASSWORD}@")
    shop = Shop.at(tmp_path / "shop", store_url=url)
    driven = drive(shop)
    places = list(left_behind(driven))
    if backend == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        server.execute("CHECKPOINT")
        places += files(server.folder / "data" / "base" / server.number(make_url(url).database or ""))
        places += files(server.folder / "data" / "pg_wal")
    else:
        places += [Place(path.name, path.read_bytes()) for path in tmp_path.glob("empty.db*")]
    assert len(places) > 100
    assert len(driven.letters) >= 3
    found = search(driven.secrets.canaries(), places)
    assert not found, complaint(found)


def test_the_canary_test_fails_when_an_address_is_logged(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop = sqlite_shop
    careless = tmp_path / "careless"
    careless.mkdir()
    (careless / "sitecustomize.py").write_text(
        "import logging\n"
        "import feedback_app.customers.link_requests as asking\n"
        "real = asking.save_typed_address\n"
        "def save_typed_address(session, address, what_for, **how):\n"
        "    logging.getLogger('careless').warning('asked for: %s', address.written)\n"
        "    return real(session, address, what_for, **how)\n"
        "asking.save_typed_address = save_typed_address\n",
        encoding="utf-8",
    )
    shop.extra_environment["PYTHONPATH"] = f"{careless}:{ROOT}"
    with shop.serving():
        Visitor(shop).fill("/feedback/preferences", email=ALICE)
    (shop.folder / "backup.db").write_bytes(b"")
    driven = Driven(Secrets(shop), Visitor(shop), [], [], Arguments())
    found = search({"alice's address": ALICE.encode()}, left_behind(driven))
    assert {(one.canary, one.place) for one in found} == {("alice's address", "the log")}


@pytest.mark.parametrize("encoding", sorted(encodings(ALICE.encode())))
def test_a_canary_is_found_in_every_encoding(encoding: str) -> None:
    wrapped = encodings(ALICE.encode())[encoding]
    wrapped = wrapped[: len(wrapped) // 2] + b"\r\n" + wrapped[len(wrapped) // 2 :]
    assert search({"alice": ALICE.encode()}, [Place("a log", wrapped)])
    hidden = b"something before it " + encodings(ALICE.encode())[encoding] + b" and after"
    assert encoding in {one.encoding for one in search({"alice": ALICE.encode()}, [Place("a log", hidden)])}
    assert search({"alice": ALICE.encode()}, [Place("her letter", hidden, frozenset({"alice"}))]) == []
