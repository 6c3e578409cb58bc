"""Halting, from outside: a spoiled letter reaches nobody, and no letter after it leaves."""

import base64
import signal
import subprocess
import sys
import time

import pytest

from tests.support.mailings import CROWD, read, text_of
from tests.support.shop import Shop, gather
from tests.support.smtp import MailServer, mail_server

# The real commands, in a process where one customer's letter is spoiled after it was made, each time in another way.
FAULTY = """
import ast, sys
from feedback_app.cli import ShopContext, undisclosed
from feedback_app.console import NeedsAPerson
from feedback_app.mailing.letters import mailing_letters

victim, faults = ast.literal_eval(sys.argv[1])
Letter = mailing_letters.Letter

def spoiled(sender, recipient, message_id, data, *given, **more):
    data = data.replace(was, becomes, 1) if recipient == victim else data
    return Letter(sender, recipient, message_id, data, *given, **more)

mailing_letters.Letter = spoiled
for was, becomes in faults:
    for command in ("run --once", "status free-socks --json", "resume free-socks"):
        try:
            undisclosed(["mail", *command.split()], obj=ShopContext(), standalone_mode=False)
        except NeedsAPerson as alarm:
            print("exit 3:", alarm.message)
    print("next")
"""
OWNER = "owner@mongrelsocks.example"
VICTIM, ANOTHER = CROWD[8].address, CROWD[3].address
SOMEBODY = b"somebody.else@y.example"
IN_BASE64 = base64.urlsafe_b64encode(SOMEBODY).rstrip(b"=")
PAGE, SUBJECT, UNSUBSCRIBE = b"/feedback/preferences/", b"\r\nSubject: ", b"\r\nList-Unsubscribe: <"
SHOWS = "shows an address that is neither the recipient's nor the shop's"
FAULTS = {
    "a Cc": (SUBJECT, b"\r\nCc: " + SOMEBODY + SUBJECT, "it has a header that the mailer does not set: cc"),
    "a Bcc": (SUBJECT, b"\r\nBcc: " + SOMEBODY + SUBJECT, "it has a header that the mailer does not set: bcc"),
    "a Resent-To": (SUBJECT, b"\r\nResent-To: " + SOMEBODY + SUBJECT, "the mailer does not set: resent-to"),
    "a second reader": (SUBJECT, b", " + SOMEBODY + SUBJECT, "its To is not one mailbox"),
    "a second To": (SUBJECT, b"\r\nTo: " + SOMEBODY + SUBJECT, "it has more than one to"),
    "another customer's To": (VICTIM.encode(), ANOTHER.encode(), "its To is not the address on the envelope"),
    "a second From": (b"\r\nTo:", b"\r\nFrom: hello@mongrelsocks.example\r\nTo:", "it has more than one from"),
    "somebody's Reply-To": (SUBJECT, b"\r\nReply-To: " + SOMEBODY + SUBJECT, "its Reply-To is not the shop's"),
    "an address in the text": (b"friend", SOMEBODY, f"part 1 {SHOWS}"),
    "an address in the HTML": (b"</p>", b" somebody.else=40y.example</p>", f"part 2 {SHOWS}"),
    "an address in the HTML's signs": (b"</p>", b" somebody.else&#64;y.example</p>", f"part 2 {SHOWS}"),
    "an address in a link": (PAGE, b"/?to=3D" + SOMEBODY + b"&at=3D/", f"part 1 {SHOWS}"),
    "an address in a link, encoded": (PAGE, b"/?to=3Dsomebody.else%40y.example&at=3D/", f"part 1 {SHOWS}"),
    "an address in a link, encoded twice": (PAGE, b"/?to=3Dsomebody.else%2540y.example&at=3D/", f"part 1 {SHOWS}"),
    "an address in a link, in base64": (PAGE, PAGE + IN_BASE64 + b"/", f"part 1 {SHOWS}"),
    "an address in the subject, as a word": (
        SUBJECT,
        SUBJECT + b"=?utf-8?B?" + base64.b64encode(SOMEBODY) + b"?= ",
        f"the header subject {SHOWS}",
    ),
    "a line break in the subject, as a word": (
        SUBJECT,
        SUBJECT + b"x=?UTF-8?Q?=0A?=Bcc: e ",
        "the header subject has a line break or a control character in it",
    ),
    "another customer in its List-Unsubscribe": (
        UNSUBSCRIBE,
        UNSUBSCRIBE + b"mailto:" + ANOTHER.encode() + b">, <",
        "its List-Unsubscribe is not one plain link",
    ),
    "another customer in the link of its List-Unsubscribe": (
        UNSUBSCRIBE,
        UNSUBSCRIBE + b"http://127.0.0.1/?to=" + ANOTHER.replace("@", "%40").encode() + b"&at=",
        f"the header list-unsubscribe {SHOWS}",
    ),
    "a word in its List-Unsubscribe": (
        UNSUBSCRIBE,
        UNSUBSCRIBE + b"=?utf-8?q?",
        "its List-Unsubscribe is not one plain",
    ),
    "a bare line feed": (b"\r\nMIME-Version", b"\nMIME-Version", "it has a bare line break or a NUL in it"),
    "a bare carriage return": (b"\r\nMIME-Version", b"\rMIME-Version", "it has a bare line break or a NUL in it"),
    "a line of 999 bytes": (b"friend=", b"x" * 998 + b"=", "it has a line longer than 998 bytes"),
    "a part in another encoding": (b"quoted-printable", b"base64", "its parts are not one plain text and one HTML"),
}


def send_again(shop: Shop) -> None:
    """Send the same text as another mailing."""
    file = shop.folder / "content" / "mailings" / "free-socks.md"
    file.write_text(file.read_text(encoding="utf-8").replace("Slug: free-socks", "Slug: again"), encoding="utf-8")
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")


def test_one_spoiled_letter_halts_its_mailing_and_stops_the_rest(sqlite_shop: Shop, sink: MailServer) -> None:
    shop = sqlite_shop
    shop.settings |= {"owner_email": OWNER, "smtp_url": sink.url, "max_in_flight": "4"}
    addresses = [person.address for person in CROWD]
    gather(shop, *addresses)
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, repr((VICTIM, [fault[:2] for fault in FAULTS.values()]))],
        cwd=shop.folder,
        env=shop.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "@" not in done.stdout + done.stderr
    assert "somebody" not in done.stdout + done.stderr
    outputs = done.stdout.split("next\n")
    assert outputs.pop() == "", done.stderr
    left = [address for address in sink.recipients() if address != OWNER]
    assert left == addresses[: len(left)]
    assert VICTIM not in left
    # The owner got the copy first, and then a letter about each halt.
    assert sink.recipients().count(OWNER) == 1 + len(FAULTS)
    reports = [letter.data for letter in sink.letters if letter.recipients == (OWNER,)][1:]
    for (name, (_, _, why)), lines, letter in zip(FAULTS.items(), outputs, reports, strict=True):
        assert '"state": "halted"' in lines, (name, done.stderr)
        assert f'"queued": {len(CROWD) - len(left)}' in lines
        assert f'"accepted": {len(left)}' in lines
        assert "exit 3: free-socks was halted: a letter was stopped at the gate: " in lines
        assert '"reason": "a letter was stopped at the gate: ' in lines
        assert why in lines, name
        assert "free-socks goes on.\n" in lines
        assert read(letter)["Subject"] == "free-socks has stopped"
        assert why in " ".join(text_of(letter).split()), name
        assert text_of(letter).count("@") == 0, name
    shop.run("mail", "run", "--once")
    assert [address for address in sink.recipients() if address != OWNER] == addresses


REFUSING = {
    "run": [["mail", "send", "content/mailings/free-socks.md", "--hold", "0"], ["mail", "run", "--once"]],
    "wait": [["mail", "send", "content/mailings/free-socks.md", "--hold", "0", "--wait"]],
}


@pytest.mark.parametrize("way", REFUSING)
def test_a_halt_is_reported_on_the_terminal_and_to_the_owner(way: str, sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    gather(shop, *(person.address for person in CROWD))

    def script(verb: str, _taken: int) -> str | None:
        return "550 no such user" if verb == "RCPT" and OWNER not in server.commands[-1] else None

    with mail_server(script) as server:
        shop.settings |= {"owner_email": OWNER, "smtp_url": server.url}
        *before, last = REFUSING[way]
        for command in before:
            shop.run(*command)
        done = shop.run(*last, expect=3)
        assert [read(letter.data)["Subject"] for letter in server.letters][1:] == ["free-socks has stopped"]
        assert done.stderr.splitlines()[-1].startswith("undisclosed: free-socks was halted: 5 of the first 5 letters")
        if way == "run":
            assert "Of the 5 that were not, most with: 550 no such user\n" in done.stdout
            # The same halt is not reported again.
            assert shop.run("mail", "run", "--once").stderr == ""


def test_letters_in_doubt_need_a_person_and_refused_ones_do_not(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    gather(shop, *(person.address for person in CROWD[:3]))
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")
    with mail_server(lambda verb, taken: "close" if verb == "DOT" and taken else None) as server:
        alarm = shop.run("mail", "run", "--once", expect=3, smtp_url=server.url).stderr
        assert alarm == "undisclosed: 2 letters of free-socks are in doubt (undisclosed mail resolve free-socks)\n"
        done = shop.run("mail", "run", "--once", smtp_url=server.url)
        assert done.stderr == ""
    send_again(shop)
    with mail_server(lambda verb, _: "550 no such user" if verb == "RCPT" else None) as server:
        done = shop.run("mail", "run", "--once", smtp_url=server.url)
    assert done.stdout.endswith(" 3 not, 0 single letters sent.\nOf the 3 that were not, most with: 550 no such user\n")


def test_a_run_whose_server_takes_no_connection_says_why(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    gather(shop, *(person.address for person in CROWD[:3]))
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")
    why = "the server's answer makes no sense: …/1.1 400 Bad Request"
    with mail_server(lambda verb, _: "HTTP/1.1 400 Bad Request" if verb == "CONNECT" else None) as server:
        done = shop.run("mail", "run", "--once", smtp_url=server.url)
        assert done.stdout.endswith(f" 3 not, 0 single letters sent.\nOf the 3 that were not, most with: {why}\n")
        # Where there is an owner, no customer's letter is tried before the owner's copy.
        shop.settings |= {"owner_email": OWNER, "smtp_url": server.url}
        send_again(shop)
        done = shop.run("mail", "run", "--once")
        assert done.stderr == f"A single letter was not accepted: {why}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_a_waiting_send_leaves_no_letter_in_doubt(number: signal.Signals, sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    addresses = [person.address for person in CROWD]
    gather(shop, *addresses)
    shop.settings["max_in_flight"] = "3"

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 1:
            # The second letter was received and not yet answered: this is the moment.
            process.send_signal(number)
            time.sleep(0.5)
        return None

    with mail_server(script) as server:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "feedback_app",
                "mail",
                "send",
                "content/mailings/free-socks.md",
                "--hold",
                "0",
                "--wait",
            ],
            cwd=shop.folder,
            env=shop.environment(smtp_url=server.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert output.endswith("sending: 9 queued, 3 accepted.\n")
        assert errors.startswith("undisclosed: ended before the mailing was: it goes on with the next worker")
        assert "undisclosed mail cancel free-socks" in errors
        shop.run("mail", "run", "--once", smtp_url=server.url)
        assert sorted(server.recipients()) == sorted(addresses)
