"""Halting, from outside: whatever a faulty maker makes of a letter, nobody gets it, and nobody else gets theirs."""

import subprocess
import sys

from tests.mailing.desk import CROWD
from tests.support.shop import Shop
from tests.support.smtp import MailServer

# The real commands, in a process whose letters are spoiled after they were made, each time in another way.
FAULTY = """
import ast, sys
from feedback_app.cli import Shop, undisclosed
from feedback_app.mailing import messages

Letter = messages.Letter
messages.Letter = lambda *given, **more: Letter(*given[:3], given[3].replace(was, becomes, 1), *given[4:], **more)
for was, becomes in ast.literal_eval(sys.argv[1]):
    for command in ("run --once", "status free-socks --json", "resume free-socks"):
        undisclosed(["mail", *command.split()], obj=Shop(), standalone_mode=False)
    print("next")
"""
SOMEBODY = b"somebody.else@y.example"
FAULTS = {
    "a Bcc": (b"\r\nSubject:", b"\r\nBcc: " + SOMEBODY + b"\r\nSubject:"),
    "a second reader": (b"\r\nSubject:", b", " + SOMEBODY + b"\r\nSubject:"),
    "somebody's address in the text": (b"friend", SOMEBODY),
    "somebody's address in a link": (b"/feedback/preferences/", b"/?to=somebody.else%2540y.example&=3D/"),
}


def test_a_mailing_whose_letters_are_faulty_is_halted_and_not_one_leaves(sqlite_shop: Shop, sink: MailServer) -> None:
    shop = sqlite_shop
    addresses = [person.address for person in CROWD]
    (shop.folder / "customers.csv").write_text("\n".join(["email", *addresses]) + "\n", encoding="utf-8")
    shop.run("customers", "import", "customers.csv", "--topic", "specials", "--evidence", "paper list, 2007")
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0")
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, repr(list(FAULTS.values()))],
        cwd=shop.folder,
        env=shop.environment(smtp_url=sink.url),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "somebody" not in done.stdout + done.stderr
    assert sink.letters == []
    for name, said in zip(FAULTS, done.stdout.split("next\n"), strict=False):
        assert '"state": "halted"' in said, (name, done.stderr)
        assert f'"queued": {len(CROWD)}' in said
        assert '"reason": "a letter was stopped at the gate: ' in said
    assert done.stdout.count("free-socks goes on.\n") == len(FAULTS)
    shop.run("mail", "run", "--once", smtp_url=sink.url)
    assert sink.recipients() == addresses
