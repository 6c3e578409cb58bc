"""Halting, from outside: whatever a faulty maker makes of a letter, nobody gets it, and nobody after gets theirs."""

import base64
import subprocess
import sys

from tests.mailing.desk import CROWD, read, text_of
from tests.support.shop import Shop
from tests.support.smtp import MailServer

# The real commands, in a process where one customer's letter is spoiled after it was made, each time in another way.
FAULTY = """
import ast, sys
from feedback_app.cli import Shop, undisclosed
from feedback_app.mailing import messages

victim, faults = ast.literal_eval(sys.argv[1])
Letter = messages.Letter

def spoiled(sender, recipient, message_id, data, *given, **more):
    data = data.replace(was, becomes, 1) if recipient == victim else data
    return Letter(sender, recipient, message_id, data, *given, **more)

messages.Letter = spoiled
for was, becomes in faults:
    for command in ("run --once", "status free-socks --json", "resume free-socks"):
        undisclosed(["mail", *command.split()], obj=Shop(), standalone_mode=False)
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


def test_one_faulty_letter_halts_its_mailing_and_nobody_after_it_gets_theirs(
    sqlite_shop: Shop, sink: MailServer
) -> None:
    shop = sqlite_shop
    shop.settings |= {"owner_email": OWNER, "smtp_url": sink.url, "max_in_flight": "4"}
    addresses = [person.address for person in CROWD]
    (shop.folder / "customers.csv").write_text("\n".join(["email", *addresses]) + "\n", encoding="utf-8")
    shop.run("customers", "import", "customers.csv", "--topic", "specials", "--evidence", "paper list, 2007")
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
    said = done.stdout.split("next\n")
    assert said.pop() == "", done.stderr
    left = [address for address in sink.recipients() if address != OWNER]
    assert left == addresses[: len(left)]
    assert VICTIM not in left
    # The owner has seen the mailing before anybody else, and is told of each halt.
    assert sink.recipients().count(OWNER) == 1 + len(FAULTS)
    told = [letter.data for letter in sink.letters if letter.recipients == (OWNER,)][1:]
    for (name, (_, _, why)), lines, letter in zip(FAULTS.items(), said, told, strict=True):
        assert '"state": "halted"' in lines, (name, done.stderr)
        assert f'"queued": {len(CROWD) - len(left)}' in lines
        assert f'"accepted": {len(left)}' in lines
        assert '"reason": "a letter was stopped at the gate: ' in lines
        assert why in lines, name
        assert "free-socks goes on.\n" in lines
        assert read(letter)["Subject"] == "free-socks has stopped"
        assert why in " ".join(text_of(letter).split()), name
        assert text_of(letter).count("@") == 0, name
    shop.run("mail", "run", "--once")
    assert [address for address in sink.recipients() if address != OWNER] == addresses
