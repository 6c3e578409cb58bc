"""What is well with a shop and what is not, in sentences that say what to do. Never an address in one."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import without_addresses
from feedback_app.config import Settings, is_loopback
from feedback_app.customers.models import Customer
from feedback_app.customers.services import person
from feedback_app.db.base import SQLITE
from feedback_app.db.setup import StoreProblem, head_revision, open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import PATIENCE, Worker
from feedback_app.mailing.letters.dkim import dkim_keys
from feedback_app.mailing.mailings.alarms import in_doubt, needs_attention
from feedback_app.mailing.return_addresses import LONGEST_FROM
from feedback_app.mailing.transports.registry import make_transport
from feedback_app.mailing.transports.results import TransportRefused
from feedback_app.mailing.transports.safety import is_site_unencrypted
from feedback_app.security import keys
from feedback_app.security.crypto import CannotOpen, KeyProblem
from feedback_app.security.keys import ADDRESS_VARIABLE, SECRET_VARIABLE

OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    about: str
    sentence: str


def examine(settings: Settings, *, now: datetime) -> list[Finding]:
    """Look at everything. What can't be looked at is a finding too, never an error."""
    findings = list(_settings(settings))
    try:
        keys.signer(settings)
        store = open_store(settings)
    except (StoreProblem, KeyProblem, SQLAlchemyError, OSError) as error:
        findings.append(Finding(Level.PROBLEM, "store", f"{_first_line(error)}."))
        return [*_keys(settings), *findings]
    try:
        findings += _store(store, now)
    except SQLAlchemyError as error:
        said = f"The store can't be read: {_first_line(error)}. Restore a backup."
        findings.append(Finding(Level.PROBLEM, "store", said))
    finally:
        store.close()
    return [*_keys(settings), *findings]


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _keys(settings: Settings) -> Iterator[Finding]:
    files = []
    for given, name, variable in (
        (settings.address_key, "address.key", ADDRESS_VARIABLE),
        (settings.secret_key, "secret.key", SECRET_VARIABLE),
    ):
        if given:
            yield Finding(Level.OK, "keys", f"{variable} is set: {_apart(name)}")
        else:
            files.append(settings.keys / name)
            yield Finding(Level.OK, "keys", f"{settings.keys / name}: {_apart(name)}")
    for path in [settings.keys, *files] if files else []:
        yield from _mode(path)


def _apart(name: str) -> str:
    if name == "address.key":
        return "without this key nobody can read the store, and backups do not hold it: keep a copy apart from them."
    return "without this key the links in letters that were sent stop working; backups do not hold it: keep a copy."


def _mode(path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        # A store that needs it says so itself.
        return
    except OSError as error:
        yield Finding(Level.PROBLEM, "keys", f"{path} can't be looked at: {error.strerror}.")
        return
    wanted = "700" if stat.S_ISDIR(mode) else "600"
    if mode & OTHERS:
        said = f"{path} is open to other users of this machine (mode {stat.S_IMODE(mode):o}): chmod {wanted} it."
        yield Finding(Level.PROBLEM, "keys", said)
    else:
        yield Finding(Level.OK, "keys", f"{path} is for this user only (mode {stat.S_IMODE(mode):o}).")


def _settings(settings: Settings) -> Iterator[Finding]:
    if is_site_unencrypted(settings):
        said = f"{settings.site_url} is not https: links to choices would travel in the open. Set UNDISCLOSED_SITE_URL."
        yield Finding(Level.PROBLEM, "site", said)
    elif is_loopback(urlsplit(settings.site_url).hostname or ""):
        said = f"{settings.site_url} is this machine: set UNDISCLOSED_SITE_URL before anybody else gets a letter."
        yield Finding(Level.NOTE, "site", said)
    else:
        yield Finding(Level.OK, "site", f"{settings.site_url} is where the links in letters lead.")
    transport = None
    try:
        transport = make_transport(settings.smtp_url)
    except TransportRefused as error:
        yield Finding(Level.PROBLEM, "mail", f"No letter leaves: {error}. Set UNDISCLOSED_SMTP_URL.")
    if transport and transport.folder:
        said = f"Letters go to the folder {transport.folder}, not to people: set UNDISCLOSED_SMTP_URL."
        yield Finding(Level.NOTE, "mail", said)
    else:
        if transport:
            yield Finding(Level.OK, "mail", "Letters go to a mail server.")
        if transport and transport.allows_unencrypted:
            said = "They go there unencrypted, as you said: whoever is on that network can read every letter and link."
            yield Finding(Level.NOTE, "mail", said)
        yield from _returning(settings)
        yield from _signing(settings)
    if not settings.shop_postal:
        said = "No postal address stands in the letters, and many countries ask for one: set UNDISCLOSED_SHOP_POSTAL."
        yield Finding(Level.NOTE, "mail", said)
    if not settings.owner_email:
        said = "Nobody is told about halts and waiting comments: set UNDISCLOSED_OWNER_EMAIL."
        yield Finding(Level.NOTE, "owner", said)


def _returning(settings: Settings) -> Iterator[Finding]:
    if len(parseaddr(settings.mail_from)[1].rpartition("@")[0]) > LONGEST_FROM:
        said = f"UNDISCLOSED_MAIL_FROM has more than {LONGEST_FROM} signs before its @: no return address of a letter's"
        yield Finding(
            Level.NOTE, "mail", f"{said} own has room there, and of what comes back nothing can be told apart."
        )


def _signing(settings: Settings) -> Iterator[Finding]:
    """What mail programs ask for before they offer a button to unsubscribe (RFC 8058, section 4)."""
    try:
        found = dkim_keys(settings)
    except KeyProblem as error:
        yield Finding(Level.PROBLEM, "mail", f"{error}.")
        return
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    for key in found:
        said = f"Letters are signed with DKIM ({key.algorithm}); publish as {key.selector}._domainkey.{domain}, TXT:"
        yield Finding(Level.OK, "mail", f"{said} {key.record()}")
        yield from _mode(settings.keys / f"dkim-{key.selector}.pem")
    if not found:
        said = "Letters are not signed with DKIM, unless your mail server does it; without, many take them for spam."
        yield Finding(Level.NOTE, "mail", f"{said} docs/mail.md says how to make a key.")


def _store(store: Store, now: datetime) -> Iterator[Finding]:
    kind = "SQLite" if store.dialect == SQLITE else "PostgreSQL"
    yield Finding(Level.OK, "store", f"The store is on {kind}, at revision {head_revision()}.")
    with store.reading() as session:
        yield _integrity(session, store)
        yield _opens(session)
        yield _workers(session, now)
        yield from _mailings(session)


def _integrity(session: Session, store: Store) -> Finding:
    if store.dialect != SQLITE:
        return Finding(Level.OK, "store", "PostgreSQL answers; it looks after the integrity of its files itself.")
    found = session.scalar(text("PRAGMA quick_check(1)"))
    if found == "ok" and session.execute(text("PRAGMA foreign_key_check")).first() is None:
        return Finding(Level.OK, "store", "The store's file is whole.")
    return Finding(Level.PROBLEM, "store", "The store's file is damaged: stop the shop and restore a backup.")


def _opens(session: Session) -> Finding:
    customer = session.scalar(select(Customer).order_by(Customer.id.desc()).limit(1))
    if customer is None:
        return Finding(Level.OK, "store", "There are no customers yet.")
    try:
        person(session, customer)
    except CannotOpen as error:
        return Finding(Level.PROBLEM, "store", f"An address can't be opened ({error}): put the right key back.")
    return Finding(Level.OK, "store", "The key opens what is sealed in the store.")


def _workers(session: Session, now: datetime) -> Finding:
    query = select(Worker.kind, func.count()).where(Worker.beat_at > now - PATIENCE).group_by(Worker.kind)
    found = {kind.value: count for kind, count in session.execute(query)}
    if not found:
        said = "No worker is alive: nothing is sent until `undisclosed serve` or `undisclosed mail run` runs."
        return Finding(Level.NOTE, "workers", said)
    said = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(found.items()))
    return Finding(Level.OK, "workers", f"At work: {said}.")


def _mailings(session: Session) -> Iterator[Finding]:
    found = needs_attention(session)
    for slug, reason in found.halted.items():
        then = f"`undisclosed mail status {slug}`, then `mail resume` or `mail cancel`."
        yield Finding(Level.PROBLEM, "mailings", f"The mailing {slug} is halted ({without_addresses(reason)}): {then}")
    for slug, count in found.doubtful.items():
        said = f"{in_doubt(slug, count)}: what may have arrived is never sent again by itself."
        then = f"`undisclosed mail status {slug}` names them, `mail resolve` settles them."
        yield Finding(Level.NOTE, "mailings", f"{said} {then}")
