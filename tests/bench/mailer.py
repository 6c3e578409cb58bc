"""The mailer's rate beside other programs' at the same local sink, in letters a second.

Our mailer does all its work: one commit of the ledger a batch, every address decrypted, every letter made for its
reader and checked by the gate. The others make one message a recipient and send it over one connection.
"""

import gc
import os
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from functools import partial
from pathlib import Path
from statistics import mean, median

from feedback_app import clock
from feedback_app.config import Settings, load_settings
from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.customers.topics import Topic
from feedback_app.db.setup import open_store
from feedback_app.mailing.delivery.worker import mail_worker
from feedback_app.mailing.gate import check
from feedback_app.mailing.gate.fast_path import check_template
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import DeliveryState, MailingState
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from feedback_app.security.keys import signer
from tests.bench.peers import DJANGO, MAILMAN, Peer
from tests.bench.sink import Sink, running_sink
from tests.support.postgres import running_postgres

ROUNDS = 5
LIMIT = "the limit: bytes made before, one pipelined connection"
LOOP = "smtplib and EmailMessage, in a loop"
# For a shop with very many customers; the other runs use the default.
MANY = 200
PARAGRAPH = (
    "Hello {{ name }}, this is offer number %d: [free socks](https://socks.example/socks/%d) for everybody who writes "
    "to us before Friday, in **any colour** you like, knitted by people who like what they do."
)
BODY = "\n\n".join([PARAGRAPH.replace("{{ name }}", "you") % (n, n) for n in range(6)])
SOURCE = MailingSource(
    "bench", Topic.SPECIALS, "Free socks for everybody", "friend", f"Hello {{{{ name }}}},\n\n{BODY}\n"
)


def main() -> None:
    """Measure all contenders in one run, round by round, so that a busy minute slows all of them."""
    letters = int(os.environ.get("BENCH_LETTERS", "20000"))
    few = max(200, letters // 10)
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server, running_sink() as sink:
        django = Peer(Path(folder) / "django", DJANGO, ["django==5.2.*"], _parts())
        mailman = Peer(Path(folder) / "mailman", MAILMAN, ["mailman==3.3.*"], _parts())
        stores = {
            "SQLite": _filled(Path(folder) / "sqlite", letters, sink),
            f"SQLite, max_in_flight {MANY}": _filled(Path(folder) / "many", letters, sink, max_in_flight=str(MANY)),
            "PostgreSQL": _filled(Path(folder) / "postgresql", letters, sink, store_url=server.create("bench")),
        }
        made = _made(letters)
        limit = partial(_limit, SmtpPool(sink.url), made)
        # Workers are forks: a garbage collection in them would copy all that is here.
        gc.freeze()
        others: dict[str, Callable[[], float]] = {
            "the same bytes over three connections": lambda: _limit(_wide(sink, made), made),
            LOOP: lambda: _loop(sink, few),
            "Django, over one connection": lambda: django.rate(sink.port, few),
            "Mailman 3, its outgoing runner": lambda: mailman.rate(sink.port, few // 4),
        }
        if source := shutil.which("smtp-source"):
            others["smtp-source"] = lambda: _smtp_source(source, sink, letters)
        ours: dict[str, Callable[[], float]] = {
            f"ours on {name}, {workers} worker{'s' if workers > 1 else ''}": partial(
                _ours, settings, sink, letters, workers
            )
            for name, settings in stores.items()
            for workers in (1, 2)
        }
        rates = {name: list[float]() for name in (LIMIT, *others, *ours)}
        of_the_limit = {name: list[float]() for name in ours}
        for _ in range(ROUNDS):
            for name, contender in others.items():
                rates[name].append(contender())
            rates[LIMIT].append(limit())
            for name, contender in ours.items():
                rates[name].append(contender())
                # The machine's speed changes within seconds: the limit is measured before and after.
                rates[LIMIT].append(limit())
                of_the_limit[name].append(rates[name][-1] / mean(rates[LIMIT][-2:]))
    _say(rates, of_the_limit)
    _compare_checks()


def _compare_checks() -> None:
    """Print how much longer the gate's full check takes than its fast path, in processor time."""
    settings, maker = _shop()
    sender, own = parseaddr(settings.mail_from)[1], settings.own_addresses
    letter = maker.letter(Person(1, _address(1), "First Last"), LetterFormat.HTML, now=clock.now())
    checked = check_template(maker.template(LetterFormat.HTML), sender=sender, own=own)
    assert checked is not None

    def timed(check_letter: Callable[..., object], times: int) -> float:
        started = time.process_time()
        for _ in range(times):
            check_letter(letter.data, sender=sender, recipient=letter.recipient, own=own)
        return (time.process_time() - started) / times

    full, fast = timed(check.check, 200), timed(checked.answers_for, 20_000)
    _print(f"the gate's full check takes {full / fast:,.0f} times as long as its fast path")


def large() -> None:
    """Measure one mailing to very many customers: peak memory, and whether the last letters take longer."""
    letters = int(os.environ.get("BENCH_LETTERS", "1000000"))
    with tempfile.TemporaryDirectory() as folder, running_sink() as sink:
        settings = _filled(Path(folder) / "sqlite", letters, sink)
        tenths: list[float] = []
        child = _worker(settings, _released(settings))
        started, last, peak = time.perf_counter(), 0, 0
        while last < letters:
            time.sleep(0.5)
            # Kept here, since a worker that has ended has no memory any more.
            peak = max(peak, _peak_of(child))
            done = sink.taken()
            if done >= (len(tenths) + 1) * letters // 10:
                tenths.append(time.perf_counter() - started)
            assert done > last or time.perf_counter() - started < 60 * (1 + len(tenths)) * 10, "the worker stands still"
            last = done
        os.waitpid(child, 0)
    first, final = tenths[0], tenths[-1] - tenths[-2]
    _print(f"{letters:,} letters on SQLite, 1 worker: {letters / tenths[-1]:,.0f} a second")
    _print(f"the last tenth took {final / first:.2f} of the first's time")
    _print(f"the worker's memory at its peak: {peak / 1024:,.0f} MB")


def _peak_of(child: int) -> int:
    """Return the peak memory of a process in kilobytes; 0 when it has ended."""
    lines = Path(f"/proc/{child}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _say(rates: dict[str, list[float]], of_the_limit: dict[str, list[float]]) -> None:
    middle = {name: median(found) for name, found in rates.items()}
    for name, rate in middle.items():
        line = f"{name}: {rate:,.0f} a second ({_spread(rates[name], ',.0f')}); {rate / middle[LOOP]:.1f} of the loop"
        if found := of_the_limit.get(name):
            line += f", {median(found):.2f} of the limit ({_spread(found, '.2f')})"
        _print(line)


def _spread(found: list[float], form: str) -> str:
    return f"{min(found):{form}} to {max(found):{form}}"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is what it is for


def _filled(folder: Path, number: int, sink: Sink, **more: str) -> Settings:
    values = {"instance": str(folder), "smtp_url": sink.url, "site_url": "https://socks.example", **more}
    settings = load_settings({f"UNDISCLOSED_{name.upper()}": value for name, value in values.items()})
    store = open_store(settings)
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8") as file:
        file.write("email,name,name_display\n")
        file.writelines(f"{_address(step)},First Last{step % 10 * 'x'},full\n" for step in range(number))
        file.flush()
        import_customers(store, Path(file.name), topic=Topic.SPECIALS, evidence="A list", now=clock.now())
    store.close()
    return settings


def _address(step: int) -> str:
    return f"customer.{step}@example{step % 500}.com"


def _released(settings: Settings) -> str:
    """Make a mailing whose hold is over, with its audience in the ledger; return its slug."""
    store = open_store(settings)
    slug = f"bench-{time.time_ns()}"
    with store.writing() as session:
        services.hold(
            session,
            MailingSource(slug, SOURCE.topic, SOURCE.subject, SOURCE.nameless, SOURCE.body),
            minutes=0,
            now=clock.now(),
        )
        services.release_due(session, now=clock.now())
    store.close()
    return slug


def _worker(settings: Settings, slug: str, go: int | None = None) -> int:
    """Fork a worker that starts at a byte from `go` and works until the mailing is sent; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        store = open_store(settings)
        with mail_worker(store, settings, LetterContext.of(settings, signer(settings))) as worker:
            if go is not None:
                os.read(go, 1)
            while True:
                worker.work_once()
                with store.reading() as session:
                    if services.find_mailing(session, slug).state is MailingState.SENT:
                        break
        code = 0
    finally:
        os._exit(code)


def _ours(settings: Settings, sink: Sink, letters: int, workers: int) -> float:
    slug, before = _released(settings), sink.taken()
    ready, go = os.pipe()
    children = [_worker(settings, slug, ready) for _ in range(workers)]
    time.sleep(2)
    started = time.perf_counter()
    os.write(go, b"x" * workers)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * workers
    rate = letters / (time.perf_counter() - started)
    os.close(ready)
    os.close(go)
    store = open_store(settings)
    with store.reading() as session:
        found = services.counts(session, services.find_mailing(session, slug))
    store.close()
    assert found[DeliveryState.ACCEPTED] == letters == sink.taken() - before, found
    return rate


def _limit(transport: SmtpPool, made: list[Letter]) -> float:
    transport.send(made[0])
    started = time.perf_counter()
    for start in range(0, len(made), 100):
        for letter in made[start : start + 100]:
            transport.submit(letter)
        transport.all_answers()
    rate = len(made) / (time.perf_counter() - started)
    transport.close()
    return rate


def _wide(sink: Sink, made: list[Letter]) -> SmtpPool:
    transport = SmtpPool(sink.url, 3)
    for letter in made[:200]:
        transport.submit(letter)
    transport.all_answers()
    assert transport.parallel_letters == 3
    return transport


def _shop() -> tuple[Settings, MailingLetters]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"UNDISCLOSED_INSTANCE": folder, "UNDISCLOSED_SITE_URL": "https://socks.example"})
        return settings, MailingLetters(LetterContext(settings, signer(settings)), SOURCE, 1)


def _made(letters: int) -> list[Letter]:
    _, maker = _shop()
    people = (Person(step, _address(step), "First Last") for step in range(letters))
    return [maker.letter(person, LetterFormat.HTML, now=clock.now()) for person in people]


def _parts() -> tuple[str, str]:
    """Return the text and HTML of our letter, which the others send too."""
    [letter] = _made(1)
    from email import message_from_bytes, policy  # noqa: PLC0415 - only here

    read = message_from_bytes(letter.data, policy=policy.default)
    bodies = [read.get_body((kind,)) for kind in ("plain", "html")]
    text, html = (str(body.get_content()) for body in bodies if body)
    return text, html


def _loop(sink: Sink, letters: int) -> float:
    text, html = _parts()
    with smtplib.SMTP("127.0.0.1", sink.port) as smtp:
        started = time.perf_counter()
        for step in range(letters):
            message = EmailMessage()
            message["From"] = "Mongrel Socks <hello@socks.example>"
            message["To"] = f"First Last <{_address(step)}>"
            message["Subject"] = SOURCE.subject
            message["Date"] = format_datetime(clock.now())
            message["Message-ID"] = make_msgid(domain="socks.example")
            message["List-Unsubscribe"] = f"<https://socks.example/u/{step}>"
            message.set_content(text.replace("First Last", f"First {step}"))
            message.add_alternative(html.replace("First Last", f"First {step}"), subtype="html")
            smtp.send_message(message)
        return letters / (time.perf_counter() - started)


def _smtp_source(program: str, sink: Sink, letters: int) -> float:
    started = time.perf_counter()
    size = str(len(_made(1)[0].data))
    subprocess.run([program, "-d", "-l", size, "-m", str(letters), f"127.0.0.1:{sink.port}"], check=True)
    return letters / (time.perf_counter() - started)
