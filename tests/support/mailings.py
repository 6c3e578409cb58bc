"""Helpers for the mailer's tests: mailings, workers, and letters read back."""

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

from sqlalchemy.orm import Session

from feedback_app.config import load_settings
from feedback_app.customers.models import Frequency, NameDisplay
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.delivery.claims import Batch, claim_batch
from feedback_app.mailing.delivery.worker import MailWorker
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import DeliveryState, Mailing, MailingState
from feedback_app.mailing.transports.registry import make_transport
from feedback_app.security.tokens import Signer
from tests.support.clock import OPPS_DAY, Clock
from tests.support.keys import SECRET_KEY
from tests.support.people import Person, welcome
from tests.support.smtp import MailServer

FREE_SOCKS = MailingSource("free-socks", Topic.SPECIALS, "Free socks", "friend", "Hello {{ name }}.\n")
# Every worker of a test; the fixture in tests/mailing/conftest.py closes their connections.
WORKERS: list[MailWorker] = []
CROWD = [Person(f"Customer {number}", f"customer{number}@example.com") for number in range(12)]


def about(slug: str, body: str = FREE_SOCKS.body) -> MailingSource:
    """Return a mailing with another slug."""
    return replace(FREE_SOCKS, slug=slug, body=body)


def read(data: bytes) -> EmailMessage:
    """Return a letter as a mail program reads it."""
    return message_from_bytes(data, policy=policy.default)


def text_of(data: bytes) -> str:
    """Return the plain text of a letter."""
    body = read(data).get_body(("plain",))
    assert body
    return str(body.get_content())


def html_of(data: bytes) -> str:
    """Return the HTML of a letter."""
    body = read(data).get_body(("html",))
    assert body
    return str(body.get_content())


def gather(store: Store, *people: Person, frequency: Frequency = Frequency.EACH) -> list[int]:
    """Add customers who want the specials; return their ids."""
    named = NameDisplay.FULL
    return [welcome(store, person, now=OPPS_DAY, named=named, specials=frequency) for person in people]


def held(store: Store, source: MailingSource = FREE_SOCKS, *, minutes: float = 10, clock: Clock) -> Mailing:
    """Put a mailing into its hold and return it."""
    with store.writing() as session:
        return services.hold(session, source, minutes=minutes, now=clock.now())


def claim(
    session: Session,
    mailing: Mailing | int,
    *,
    worker_id: str,
    limit: int,
    clock: Clock,
    daily_cap: int = 0,
    untried_limit: int | None = None,
    after_id: int = 0,
) -> Batch:
    """Claim deliveries of a mailing for a worker, without sending them."""
    number = mailing if isinstance(mailing, int) else mailing.id
    return claim_batch(
        session,
        number,
        worker_id=worker_id,
        limit=limit,
        daily_cap=daily_cap,
        now=clock.now(),
        message_id_for=lambda customer_id: f"<{number}.{customer_id}@socks.example>",
        untried_limit=untried_limit,
        after_id=after_id,
    )


def worker_to(server: MailServer, store: Store, number: int = 1, **more: str) -> MailWorker:
    """Return a worker that sends to this server, with an id made of the number."""
    values = {"instance": "no such folder", "smtp_url": server.url, **more}
    settings = load_settings({f"UNDISCLOSED_{name.upper()}": value for name, value in values.items()})
    context = LetterContext(settings, Signer(SECRET_KEY, "the signing key"))
    worker = MailWorker(
        store, settings, context, make_transport(settings.smtp_url, settings.smtp_connections), id=f"worker-{number}"
    )
    WORKERS.append(worker)
    return worker


def state(store: Store, slug: str = FREE_SOCKS.slug) -> MailingState:
    """Return the state of a mailing."""
    with store.reading() as session:
        return services.find_mailing(session, slug).state


def counts(store: Store, slug: str = FREE_SOCKS.slug) -> dict[str, int]:
    """Return how many of a mailing's deliveries are in each state, without the states that have none."""
    with store.reading() as session:
        found = services.counts(session, services.find_mailing(session, slug))
    assert list(found) == list(DeliveryState)
    return {name.value: number for name, number in found.items() if number}


def reasons(store: Store, slug: str = FREE_SOCKS.slug) -> list[str | None]:
    """Return the reason noted at each of a mailing's deliveries, in their order."""
    with store.reading() as session:
        rows = ledger.deliveries(session, services.find_mailing(session, slug))
        return [delivery.reason for delivery, _ in rows]


SIGNER = Signer("a signing key that only tests use!", "the signing key")


def letter_context(**more: str) -> LetterContext:
    """Return a shop's context for letters. Raises SettingsError."""
    return LetterContext(load_settings({f"UNDISCLOSED_{name.upper()}": value for name, value in more.items()}), SIGNER)
