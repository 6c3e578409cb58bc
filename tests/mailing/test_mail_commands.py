"""`undisclosed mail`, as a person or a script runs it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from feedback_app.config import load_settings
from feedback_app.customers.models import Frequency
from feedback_app.db.setup import open_store
from feedback_app.mailing.cli import manage
from tests.support.clock import OPPS_DAY
from tests.support.mailings import read, text_of
from tests.support.people import ALICE, BOB, CAROL, welcome
from tests.support.shop import Shop, gather
from tests.support.smtp import MailServer, mail_server

COUNTS = {"queued", "submitting", "accepted", "deferred", "failed", "unknown", "skipped"}


@pytest.fixture
def mailing(shop: Shop) -> str:
    """The shop's own mailing about free socks."""
    return str(shop.folder / "content" / "mailings" / "free-socks.md")


def numbers(shop: Shop, slug: str = "free-socks") -> tuple[str, dict[str, int]]:
    """Return a mailing's state, and its counts without the zeros."""
    said = shop.json("mail", "status", slug)
    assert said["slug"] == slug
    assert set(said["counts"]) == COUNTS
    return said["state"], {name: number for name, number in said["counts"].items() if number}


def test_a_mailing_is_previewed_tested_sent_and_accounted_for(shop: Shop, sink: MailServer, mailing: str) -> None:
    gather(shop, ALICE.address, BOB.address)
    shown = shop.run("mail", "preview", mailing).stdout
    assert "Subject: Free socks this week" in shown
    assert "Hello friend," in shown
    assert "/feedback/unsubscribe/" in shown
    tried = shop.run("mail", "test", mailing, "--to", CAROL.address, smtp_url=sink.url)
    assert tried.stdout == "1 sample accepted.\n"
    assert sink.recipients() == [CAROL.address]
    sent = shop.run("mail", "send", mailing, "--hold", "0", "--wait", smtp_url=sink.url)
    assert "sent: 2 accepted." in sent.stdout
    assert sink.recipients()[1:] == [ALICE.address, BOB.address]
    assert "free pair of odd socks" in text_of(sink.letters[1].data)
    assert numbers(shop) == ("sent", {"accepted": 2})
    rows = shop.json("mail", "list", "free-socks")
    assert [set(row) for row in rows] == [{"address", "state", "reason", "message_id", "attempts"}] * 2
    assert [(row["address"], row["state"], row["attempts"]) for row in rows] == [
        (ALICE.address, "accepted", 1),
        (BOB.address, "accepted", 1),
    ]
    assert [row["message_id"] for row in rows] == [read(letter.data)["Message-ID"] for letter in sink.letters[1:]]
    assert shop.json("mail", "list", "free-socks", "--state", "failed") == []
    again = shop.run("mail", "send", mailing, expect=1)
    assert again.stderr == "undisclosed: free-socks is sent already; a new mailing needs a `Slug:` of its own\n"
    assert again.stdout == ""


def test_a_mailing_is_held_unsent_corrected_and_sent(shop: Shop, sink: MailServer, mailing: str) -> None:
    gather(shop, ALICE.address)
    held = shop.run("mail", "send", mailing)
    assert "undisclosed mail cancel free-socks" in held.stdout
    assert numbers(shop) == ("held", {})
    shop.run("mail", "run", "--once", smtp_url=sink.url)
    assert shop.run("mail", "cancel", "free-socks").stdout == "free-socks is cancelled. Nobody got anything.\n"
    assert numbers(shop) == ("cancelled", {})
    shop.run("mail", "run", "--once", smtp_url=sink.url)
    assert sink.letters == []
    twice = shop.run("mail", "cancel", "free-socks", expect=1)
    assert twice.stderr == "undisclosed: free-socks is cancelled already: there is nothing left to cancel\n"
    path = Path(mailing)
    path.write_text(path.read_text(encoding="utf-8").replace("free pair", "mended pair"), encoding="utf-8")
    shop.run("mail", "send", mailing, "--hold", "0")
    assert (
        shop.run("mail", "run", "--once", smtp_url=sink.url).stdout
        == "1 letter accepted, 0 not, 0 single letters sent.\n"
    )
    assert "mended pair" in text_of(sink.letters[0].data)


def test_a_mailing_with_failed_letters_needs_a_person(shop: Shop, mailing: str) -> None:
    gather(shop, ALICE.address, BOB.address)
    refusals = ["550 no such user alice@example.com"]

    def script(verb: str, _taken: int) -> str | None:
        return refusals.pop() if verb == "RCPT" and refusals else None

    with mail_server(script) as server:
        done = shop.run("mail", "send", mailing, "--hold", "0", "--wait", expect=3, smtp_url=server.url)
    assert "sent: 1 accepted, 1 failed." in done.stdout
    assert done.stderr.splitlines()[-1].startswith("undisclosed: some letters failed or are in doubt")
    assert [row["reason"] for row in shop.json("mail", "list", "free-socks", "--state", "failed")] == [
        "550 no such user …@…"
    ]


def write(text: str) -> Callable[[Shop], list[str]]:
    """Run `mail send` for a mailing with this text."""

    def make(shop: Shop) -> list[str]:
        (shop.folder / "m.md").write_text(text, encoding="utf-8")
        return ["mail", "send", "m.md"]

    return make


HEAD = "Subject: S\nTopic: specials\nSlug: s\n\n"
BAD = {
    "a file that is not there": (lambda _: ["mail", "send", "no.md"], "no.md: No such file or directory"),
    "an address of somebody": (write(HEAD + "bob@y.example"), "m.md:5: there is an address here"),
    "a slug that nobody sent": (lambda _: ["mail", "status", "no"], "there is no mailing 'no'"),
    "no address": (lambda _: ["mail", "test", "content/mailings/free-socks.md", "--to", "bob"], "an address has an @"),
}


@pytest.mark.parametrize(("make", "why"), BAD.values(), ids=BAD)
def test_a_command_is_refused_in_one_line(make: Callable[[Shop], list[str]], why: str, shop: Shop) -> None:
    refused = shop.run(*make(shop), expect=1)
    assert refused.stderr.startswith(f"undisclosed: {why}")
    assert refused.stderr.count("\n") == 1
    assert "bob" not in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf"])
def test_a_hold_is_a_number_of_minutes(minutes: str, shop: Shop, mailing: str) -> None:
    wrong = shop.run("mail", "send", mailing, "--hold", minutes, expect=2)
    assert "Invalid value for '--hold'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_site_that_is_not_https_sends_nothing(sqlite_shop: Shop, sink: MailServer) -> None:
    gather(sqlite_shop, ALICE.address)
    file = "content/mailings/free-socks.md"
    for command in (["mail", "send", file], ["mail", "test", file, "--to", BOB.address], ["mail", "run", "--once"]):
        refused = sqlite_shop.run(*command, expect=1, smtp_url=sink.url, site_url="http://socks.example")
        assert refused.stderr.startswith("undisclosed: http://socks.example is not https: the links in letters would")
    assert sink.letters == []
    assert sqlite_shop.run("mail", "status", "free-socks", expect=1).stderr.startswith(
        "undisclosed: there is no mailing"
    )


def test_every_command_refuses_a_transport_that_does_not_exist(sqlite_shop: Shop) -> None:
    refused = sqlite_shop.run("comments", "list", expect=1, smtp_url="pigeon://:geheim@mail.example")
    assert refused.stderr.startswith("undisclosed: UNDISCLOSED_SMTP_URL: must be smtp://host:port, ")
    assert "geheim" not in refused.stderr


def test_a_mailing_is_not_held_if_no_worker_would_use_the_mail_server(sqlite_shop: Shop) -> None:
    gather(sqlite_shop, ALICE.address)
    sqlite_shop.settings |= {"smtp_url": "smtp://mail.example:25", "site_url": "https://socks.example"}
    for command in (["mail", "send", "content/mailings/free-socks.md"], ["mail", "run", "--once"]):
        refused = sqlite_shop.run(*command, expect=1)
        assert refused.stderr.startswith("undisclosed: smtp:// to another machine would show every letter")
        assert refused.stdout == ""
    assert sqlite_shop.run("mail", "status", "free-socks", expect=1).stderr.startswith("undisclosed: there is no")


def test_sending_shows_a_sample_letter(sqlite_shop: Shop) -> None:
    gather(sqlite_shop, ALICE.address)
    said = sqlite_shop.run("mail", "send", "content/mailings/free-socks.md").stdout
    assert said.startswith("free-socks: 1 letter about specials: Free socks this week\nLeft out: 0 did not choose")
    assert "  | Subject: Free socks this week\n" in said
    assert "  | Hello friend,\n" in said
    assert ALICE.address not in said
    unsent = sqlite_shop.json("mail", "cancel", "free-socks")
    nobody = {"accepted": 0, "in_doubt": 0, "stopped": 0, "got_it": [], "may_have_got_it": []}
    assert unsent == {"slug": "free-socks", "state": "cancelled", **nobody}


def test_cancelling_a_mailing_on_its_way_names_who_got_it(sqlite_shop: Shop) -> None:
    people = [f"customer{number}@example.com" for number in range(8)]
    gather(sqlite_shop, *people)
    fates = {people[1]: "close", people[2]: "550 no", people[3]: "550 no"}
    asked: list[str] = []

    def script(verb: str, _taken: int) -> str | None:
        if verb == "RCPT":
            asked.append(server.commands[-1].partition("<")[2].partition(">")[0])
        fate = fates.get(asked[-1]) if asked else None
        return fate if fate and verb == ("DOT" if fate == "close" else "RCPT") else None

    with mail_server(script) as server:
        sqlite_shop.settings["smtp_url"] = server.url
        sqlite_shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0", "--wait", expect=3)
    assert numbers(sqlite_shop) == ("halted", {"accepted": 2, "failed": 2, "unknown": 1, "queued": 3})
    said = sqlite_shop.run("mail", "cancel", "free-socks").stdout
    assert said == (
        "free-socks is cancelled. 2 had left, 1 may have, 3 will not.\n"
        f"Who got it (2):\n  {people[0]}\n  {people[4]}\nWho may have got it (1):\n  {people[1]}\n"
    )


def test_of_very_many_recipients_the_first_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manage, "MOST_PRINTED", 2)
    addresses = iter(("a@x.example", "b@x.example", "c@x.example"))
    manage._print_addresses("Who got it", 3, addresses, "undisclosed mail list")  # noqa: SLF001
    said = "Who got it (3):\n  a@x.example\n  b@x.example\n  and 1 more: undisclosed mail list\n"
    assert capsys.readouterr().out == said


def test_a_mailing_that_waits_for_the_owners_copy_says_so(sqlite_shop: Shop) -> None:
    gather(sqlite_shop, ALICE.address)
    sqlite_shop.settings["owner_email"] = "owner@mongrelsocks.example"
    sqlite_shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")
    with mail_server(lambda verb, _: "452 mailbox full" if verb == "RCPT" else None) as server:
        sqlite_shop.run("mail", "run", "--once", smtp_url=server.url)
    said = sqlite_shop.run("mail", "status", "free-socks").stdout
    assert said.startswith("free-socks is sending: 1 queued.\nIt waits for the owner's copy to leave")


def test_a_mailing_that_nobody_would_get_says_so(sqlite_shop: Shop) -> None:
    said = sqlite_shop.run("mail", "send", str(sqlite_shop.folder / "content" / "mailings" / "free-socks.md"))
    assert "Nobody has chosen specials: as things stand, nobody will get it." in said.stdout


def test_customers_who_get_a_mailing_in_a_digest_are_counted_apart(sqlite_shop: Shop) -> None:
    gather(sqlite_shop, ALICE.address)
    with closing(open_store(load_settings({"UNDISCLOSED_INSTANCE": str(sqlite_shop.instance)}))) as store:
        welcome(store, BOB, now=OPPS_DAY, specials=Frequency.WEEKLY)
        welcome(store, CAROL, now=OPPS_DAY, specials=Frequency.MONTHLY)
    said = sqlite_shop.run("mail", "send", "content/mailings/free-socks.md").stdout
    assert said.startswith("free-socks: 1 letter about specials")
    assert "\nLater, in their weekly or monthly digests: 2.\n" in said
