"""`undisclosed mail`: preview, test, send, run."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click

from feedback_app import clock
from feedback_app.clock import rfc3339
from feedback_app.console import Context, NeedsAPerson, Refused, confirm, pass_context, progress_bar
from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person, find_customer, person
from feedback_app.mailing.cli.manage import in_numbers
from feedback_app.mailing.delivery.batches import SendCounts
from feedback_app.mailing.delivery.worker import IDLE_SECONDS, MailWorker, mail_worker, run_until
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.letters.parsed import parse_letter
from feedback_app.mailing.mailings import alarms, audience, services
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.mailings.source import MailingSource, SourceRefused, read_source
from feedback_app.mailing.models import OPEN_STATES, DeliveryState, MailingState
from feedback_app.mailing.transports.registry import open_transport
from feedback_app.mailing.transports.results import Outcome, TransportRefused
from feedback_app.mailing.transports.safety import check_site
from feedback_app.plurals import counted
from feedback_app.security.crypto import CannotOpen

FILE = click.Path(path_type=Path)
NO_CUSTOMER_ID = 0
SAMPLE_ADDRESS = "reader@example.com"
LONGEST_HOLD_MINUTES = 366 * 24 * 60
UNFINISHED = frozenset({MailingState.HELD, MailingState.SENDING})


def _check_minutes(_context: click.Context, _option: click.Parameter, minutes: float | None) -> float | None:
    """Refuse `nan`, which click's range lets through."""
    if minutes is not None and math.isnan(minutes):
        message = "that is not a number of minutes"
        raise click.BadParameter(message)
    return minutes


@click.group()
def mail() -> None:
    """Send and unsend mailings, and see who got them."""


@mail.command()
@click.argument("file", type=FILE)
@click.option("--to", "address", help="Show the letter that this customer would get.")
@pass_context
def preview(context: Context, file: Path, address: str | None) -> None:
    """Print a mailing's letter as a mail program shows it."""
    _show(_sample(context, _draft(context, file), address or SAMPLE_ADDRESS))


@mail.command()
@click.argument("file", type=FILE)
@click.option("--to", "address", required=True, help="The address that gets the sample.")
@pass_context
def test(context: Context, file: Path, address: str) -> None:
    """Send one sample of a mailing to one address."""
    letter = _sample(context, _draft(context, file), address)
    try:
        check_site(context.settings)
        with open_transport(context.settings.smtp_url) as transport:
            answer = transport.send(letter)
    except TransportRefused as error:
        raise Refused(str(error)) from error
    if answer.outcome is not Outcome.ACCEPTED:
        message = f"the sample was not accepted: {answer.words}"
        raise Refused(message)
    click.echo("1 sample accepted.")


@mail.command()
@click.argument("file", type=FILE)
@click.option(
    "--hold",
    "minutes",
    type=click.FloatRange(0, LONGEST_HOLD_MINUTES),
    callback=_check_minutes,
    help="Minutes in which it can be unsent.",
)
@click.option("--wait", is_flag=True, help="Return when every delivery has ended.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_context
def send(context: Context, file: Path, minutes: float | None, *, wait: bool, yes: bool) -> None:
    """Hold a mailing, then send it.

    Its text is frozen now. It leaves at the end of the hold, unless it is cancelled before.
    """
    draft = _draft(context, file)
    # If the gate refuses the letters, it does so now and not at the end of the hold.
    sample = _sample(context, draft, SAMPLE_ADDRESS)
    try:
        check_site(context.settings)
    except TransportRefused as error:
        raise Refused(str(error)) from error
    minutes = context.settings.hold_minutes if minutes is None else minutes
    with context.store.reading() as session:
        try:
            # First of all: no sample is shown of a mailing that can't be sent.
            services.check_free(session, draft.slug)
        except MailingRefused as error:
            raise Refused(str(error)) from error
        count = audience.audience_count(session, draft.topic, now=clock.now())
        left_out = audience.excluded(session, draft.topic, now=clock.now())
    click.echo(f"{draft.slug}: {counted(count, 'letter')} about {draft.topic}: {draft.subject}")
    click.echo(
        f"Left out: {left_out.no} did not choose {draft.topic}, {left_out.paused} paused, "
        f"{left_out.suppressed} blocked (bounced or erased)."
    )
    if left_out.in_digests:
        click.echo(f"Later, in their weekly or monthly digests: {left_out.in_digests}.")
    if not count and not left_out.in_digests:
        click.echo(f"Nobody has chosen {draft.topic}: as things stand, nobody will get it.")
    click.echo("A sample, as a reader without a name gets it:\n")
    _show(sample, margin="  | ")
    if not minutes:
        confirm("Without a hold this can't be unsent. Send?", yes=yes)
    try:
        with context.store.writing() as session:
            mailing = services.hold(session, draft, minutes=minutes, now=clock.now())
    except MailingRefused as error:
        raise Refused(str(error)) from error
    if minutes:
        click.echo(
            f"Held until {rfc3339(mailing.due_at)}. To unsend it until then: undisclosed mail cancel {draft.slug}"
        )
    if wait:
        _wait(context, draft.slug)
    elif not minutes:
        click.echo("Due now: it leaves as soon as a worker runs (`undisclosed serve` or `undisclosed mail run`).")


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that no letter is cut off while the server reads it."""
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wait(context: Context, slug: str) -> None:
    """Send until a mailing has ended, and print the result. Raises NeedsAPerson and Refused."""
    try:
        with (
            _stop_on_signals() as stop,
            _open_worker(context) as worker,
            progress_bar("Sending") as tell,
        ):
            while True:
                worker.work_once(stop)
                with context.store.reading() as session:
                    mailing = services.find_mailing(session, slug)
                    found = services.counts(session, mailing)
                open_ = sum(found[state] for state in OPEN_STATES)
                total = sum(found.values())
                tell(total - open_, total)
                if mailing.state not in UNFINISHED or stop.is_set():
                    break
                stop.wait(IDLE_SECONDS)
            worker.send_last_letters(SendCounts())
    except TransportRefused as error:
        raise Refused(str(error)) from error
    click.echo(f"{mailing.state}: {in_numbers(found)}.")
    if mailing.state in UNFINISHED:
        message = (
            f"ended before the mailing was: it goes on with the next worker (`undisclosed mail run`); to stop it: "
            f"undisclosed mail cancel {slug}"
        )
        raise Refused(message)
    if mailing.state is MailingState.HALTED:
        message = f"{slug} was halted: {mailing.reason}"
        raise NeedsAPerson(message)
    if found[DeliveryState.FAILED] or found[DeliveryState.UNKNOWN]:
        message = f"some letters failed or are in doubt: undisclosed mail list {slug}"
        raise NeedsAPerson(message)


@mail.command()
@click.option("--once", is_flag=True, help="Do what is due now, and return.")
@pass_context
def run(context: Context, *, once: bool) -> None:
    """Send what is due until stopped.

    Any number of workers can run at the same time.
    """

    def tell(done: SendCounts) -> None:
        click.echo(
            f"{counted(done.accepted, 'letter')} accepted, {done.other} not, {done.singles} single letters sent."
        )

    try:
        check_site(context.settings)
        with (
            _stop_on_signals() as stop,
            _open_worker(context) as worker,
        ):
            if once:
                _run_once(context, worker, stop, tell)
                return
            click.echo("Working. Ctrl-C ends it after the letters at hand.")
            run_until(worker, stop, tell=tell, hourly=context.hourly)
    except TransportRefused as error:
        raise Refused(str(error)) from error


def _run_once(context: Context, worker: MailWorker, stop: threading.Event, tell: Callable[[SendCounts], None]) -> None:
    began = clock.now()
    with context.store.reading() as session:
        before = alarms.needs_attention(session)
    done = worker.work_through(stop, tell=click.echo)
    tell(done)
    with context.store.reading() as session:
        said = alarms.commonest_reason(session, since=began) if done.other else None
        alarm = alarms.new_alarms(before, alarms.needs_attention(session))
    if said:
        click.echo(f"Of the {done.other} that were not, most with: {said}")
    if alarm:
        raise NeedsAPerson(alarm)


def _show(letter: Letter, margin: str = "") -> None:
    """Print a letter as a mail program shows it."""
    parsed = parse_letter(letter.data)
    for name, value in parsed.headers:
        if name in {"From", "Reply-To", "To", "Subject"}:
            click.echo(f"{margin}{name}: {value}")
    for line in ["", *parsed.text.splitlines()]:
        click.echo(f"{margin}{line}".rstrip())
    click.echo()


def _open_worker(context: Context) -> AbstractContextManager[MailWorker]:
    return mail_worker(context.store, context.settings, _letter_context(context))


def _letter_context(context: Context) -> LetterContext:
    return LetterContext.of(context.settings, context.signer)


def _draft(context: Context, file: Path) -> MailingSource:
    try:
        return read_source(file, context.settings)
    except SourceRefused as error:
        raise Refused(str(error)) from error


def _sample(context: Context, draft: MailingSource, text: str) -> Letter:
    """Return the letter that an address would get; a customer's has their name, format and language."""
    try:
        address = Address.parse(text)
        with context.store.reading() as session:
            customer = find_customer(session, address)
            reader = person(session, customer) if customer else Person(NO_CUSTOMER_ID, address.written, None)
        form = customer.format if customer else LetterFormat.HTML
        letter_context = _letter_context(context)
        letters = MailingLetters(letter_context, draft, None, letter_context.language_of(reader))
        return letters.letter(reader, form, now=clock.now())
    except (BadAddress, GateRefused, CannotOpen) as error:
        raise Refused(str(error)) from error
