"""Letters in doubt are resolved by what the owner knows, or with the log of the server that they were sent to."""

import gzip
from pathlib import Path

import pytest

from feedback_app.db.store import Store
from feedback_app.mailing.bounces import unknown_letters
from feedback_app.mailing.bounces.unknown_letters import CannotResend, Resolution, Resolved
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import MailingState
from tests.support.clock import Clock
from tests.support.mailings import counts, gather, held, read, state, worker_to
from tests.support.people import ALICE, BOB, CAROL
from tests.support.shop import Shop
from tests.support.smtp import MailServer, mail_server


@pytest.fixture
def broken(store: Store, clock: Clock) -> MailServer:
    """A server that took three letters and answered for one."""
    gather(store, ALICE, BOB, CAROL)
    held(store, minutes=0, clock=clock)
    silent = ["close", "close"]
    with mail_server(lambda verb, taken: silent.pop() if verb == "DOT" and taken and silent else None) as server:
        worker_to(server, store).work_once()
    assert counts(store) == {"accepted": 1, "unknown": 2}
    return server


def unknown(store: Store) -> list[str]:
    """Return the Message-IDs of the letters in doubt."""
    with store.reading() as session:
        mailing = services.find_mailing(session, "free-socks")
        return list(unknown_letters.find_unknown(session, mailing))


def resolve(store: Store, resolution: Resolution, clock: Clock) -> Resolved:
    """Resolve the letters in doubt as the owner says."""
    with store.writing() as session:
        return unknown_letters.resolve_all(
            session, services.find_mailing(session, "free-socks"), resolution, now=clock.now()
        )


def resolve_with(store: Store, log: str, clock: Clock) -> Resolved:
    """Resolve the letters in doubt with a log."""
    with store.writing() as session:
        mailing = services.find_mailing(session, "free-socks")
        return unknown_letters.resolve_from_log(session, mailing, log.splitlines(), now=clock.now())


def test_a_letter_that_the_owner_calls_accepted_is_never_sent_again(
    store: Store, broken: MailServer, sink: MailServer, clock: Clock
) -> None:
    assert resolve(store, Resolution.ACCEPTED, clock) == Resolved(accepted=2)
    assert counts(store) == {"accepted": 3}
    worker_to(sink, store).work_once()
    assert sink.letters == []
    assert len(broken.letters) == 1


def test_a_letter_that_is_sent_again_goes_once_with_the_same_message_id(
    store: Store, broken: MailServer, sink: MailServer, clock: Clock
) -> None:
    assert broken.letters
    names = unknown(store)
    assert resolve(store, Resolution.RESEND, clock) == Resolved(queued=2)
    assert state(store) is MailingState.SENDING
    worker_to(sink, store).work_once()
    assert [read(letter.data)["Message-ID"] for letter in sink.letters] == names
    assert counts(store) == {"accepted": 3}
    assert state(store) is MailingState.SENT


def test_the_letters_of_a_cancelled_mailing_are_not_sent_again(store: Store, broken: MailServer, clock: Clock) -> None:
    assert broken.letters
    with store.writing() as session:
        services.find_mailing(session, "free-socks").state = MailingState.CANCELLED
    with pytest.raises(CannotResend, match="is cancelled"):
        resolve(store, Resolution.RESEND, clock)
    assert resolve(store, Resolution.ACCEPTED, clock) == Resolved(accepted=2)


def test_the_servers_log_tells_what_it_took(store: Store, broken: MailServer, clock: Clock) -> None:
    assert broken.letters
    taken, begun = unknown(store)
    log = f"""
Oct 10 13:41:00 mx postfix/cleanup[42]: 4F2A1B: message-id={taken}
Oct 10 13:41:00 mx postfix/qmgr[7]: 4F2A1B: from=<hello@mongrelsocks.example>, size=5900, nrcpt=1 (queue active)
Oct 10 13:41:00 mx postfix/cleanup[43]: 4F2A1C: message-id={begun}
Oct 10 13:41:00 mx postfix/smtpd[44]: lost connection after DATA (5900 bytes) from localhost[127.0.0.1]
Oct 10 13:41:00 mx postfix/cleanup[43]: 4F2A1D: message-id=<somebody-elses@y.example>
Oct 10 14:41:00 mx postfix/anvil[45]: statistics: max connection rate 1/60s
"""
    assert resolve_with(store, log, clock) == Resolved(accepted=1, queued=1)
    assert counts(store) == {"accepted": 2, "queued": 1}


@pytest.mark.parametrize("between", ["cleanup[43]: 4F2A1B: message-id=<another@y.example>", "qmgr[7]: 4F2A1B: removed"])
def test_a_queue_id_that_is_used_again_is_another_letters(
    between: str, store: Store, broken: MailServer, clock: Clock
) -> None:
    assert broken.letters
    log = f"""
Oct 10 13:41:00 mx postfix/cleanup[42]: 4F2A1B: message-id={unknown(store)[0]}
Oct 10 13:41:02 mx postfix/{between}
Oct 10 13:41:03 mx postfix/qmgr[7]: 4F2A1B: from=<hello@mongrelsocks.example>, size=5900, nrcpt=1 (queue active)
Oct 10 14:42:00 mx postfix/anvil[45]: statistics: max connection rate 1/60s
"""
    assert resolve_with(store, log, clock) == Resolved(queued=1, in_doubt=1)
    assert counts(store) == {"accepted": 1, "queued": 1, "unknown": 1}


ENDS = {
    "with the letter": ("Oct 10 13:41:00", "", False),
    "too soon": ("Oct 10 13:41:00", "Oct 10 14:40:59", False),
    "an hour later": ("Oct 10 13:41:00", "Oct 10 14:41:00", True),
    "in the new year": ("Dec 31 23:41:00", "Jan  1 00:41:00", True),
    "before the leap day that there was none of": ("Feb 28 23:41:00", "Mar  1 00:01:00", False),
    "with an older log": ("Oct 10 13:41:00", "Oct  9 23:00:00", False),
    "an hour later, by whole dates": ("2007-10-10T13:41:00.5+02:00", "2007-10-10T12:42:00Z", True),
    "at the same time elsewhere": ("2007-10-10T13:41:00+02:00", "2007-10-10T12:00:00+00:00", False),
    "with a time of another kind": ("Oct 10 13:41:00", "2007-10-10T18:00:00+00:00", False),
    "at no time": ("Oct 10 13:41:00", "later", False),
    "after a letter without a time": ("once", "Oct 10 18:41:00", False),
}


@pytest.mark.parametrize(("begun", "end", "goes_on"), ENDS.values(), ids=ENDS)
def test_a_letter_was_not_taken_only_if_the_log_goes_on_for_an_hour(
    begun: str, end: str, *, goes_on: bool, store: Store, broken: MailServer, clock: Clock
) -> None:
    assert broken.letters
    log = f"{begun} mx postfix/cleanup[42]: 4F2A1B: message-id={unknown(store)[0]}\n"
    log += f"{end} mx postfix/anvil[45]: statistics: max connection rate 1/60s\n\n" if end else ""
    assert resolve_with(store, log, clock) == (
        Resolved(queued=1, in_doubt=1) if goes_on else Resolved(in_doubt=2, cut_off=1)
    )


def test_a_letter_that_the_log_does_not_name_stays_in_doubt(store: Store, broken: MailServer, clock: Clock) -> None:
    assert broken.letters
    taken, _ = unknown(store)
    log = (
        f"2007-10-10T13:41:00+00:00 mx postfix/cleanup[42]: 3xyzQ: message-id={taken}\n"
        "2007-10-10T13:41:01+00:00 mx postfix/smtp[9]: 3xyzQ: to=<x@y.example>, dsn=2.0.0, status=sent (250 ok)\n"
    )
    assert resolve_with(store, log, clock) == Resolved(accepted=1, in_doubt=1)
    assert resolve_with(store, log, clock) == Resolved(in_doubt=1)


def test_status_names_the_letters_in_doubt_and_the_command_resolves_them(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop = sqlite_shop
    (shop.folder / "customers.csv").write_text(f"email\n{ALICE.address}\n", encoding="utf-8")
    shop.run("customers", "import", "customers.csv", "--topic", "specials", "--evidence", "paper list, 2007")
    with mail_server(lambda verb, _: "close" if verb == "DOT" else None) as server:
        file = "content/mailings/free-socks.md"
        shop.run("mail", "send", file, "--hold", "0", "--wait", expect=3, smtp_url=server.url)
    assert shop.json("mail", "status", "free-socks")["unknown"] == [ALICE.address]
    said = shop.run("mail", "status", "free-socks").stdout
    assert ALICE.address in said
    assert "undisclosed mail resolve free-socks" in said
    assert "say one of" in shop.run("mail", "resolve", "free-socks", expect=2).stderr
    (tmp_path / "empty.log").write_text("", encoding="utf-8")
    left = shop.run("mail", "resolve", "free-socks", "--from-log", str(tmp_path / "empty.log"), expect=3)
    assert left.stdout == "free-socks: 0 accepted, 0 to be sent again, 1 still in doubt.\n"
    [row] = shop.json("mail", "list", "free-socks")
    line = f"Oct 10 13:41:00 mx postfix/cleanup[42]: 4F2A1B: message-id={row['message_id']}\n"
    (tmp_path / "short.log").write_text(line, encoding="utf-8")
    left = shop.run("mail", "resolve", "free-socks", "--from-log", str(tmp_path / "short.log"), expect=3)
    assert left.stderr.startswith(
        "undisclosed: the log shows the beginning of 1 of the letters in doubt, and by its times"
    )
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(line.encode()))
    packed = shop.run("mail", "resolve", "free-socks", "--from-log", str(tmp_path / "mail.log.1.gz"), expect=1)
    assert "mail.log.1.gz is not a text log: unpack it first" in packed.stderr
    assert packed.stdout == ""
    refused = shop.run("mail", "resolve", "free-socks", "--from-log", "no.log", expect=1)
    assert refused.stderr == "undisclosed: no.log: No such file or directory\n"
    done = shop.run("mail", "resolve", "free-socks", "--accepted")
    assert done.stdout == "free-socks: 1 accepted, 0 to be sent again, 0 still in doubt.\n"
    assert shop.json("mail", "status", "free-socks")["unknown"] == []
    for word in ("--accepted", "--resend"):
        assert shop.run("mail", "resolve", "free-socks", word).stdout == "free-socks: nothing is in doubt.\n"


@pytest.mark.parametrize(
    "said",
    [
        ["--accepted", "--resend"],
        ["--resend", "--accepted"],
        ["--accepted", "--from-log", "mail.log"],
        ["--resend", "--from-log", "mail.log"],
    ],
)
def test_two_answers_at_once_are_refused_and_nothing_is_sent(said: list[str], sqlite_shop: Shop) -> None:
    wrong = sqlite_shop.run("mail", "resolve", "free-socks", *said, expect=2)
    assert "say one of --accepted, --resend and --from-log FILE, and no more than one" in wrong.stderr
