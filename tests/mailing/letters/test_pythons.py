"""Every Python on this machine makes and reads letters: each must make the same letters and stop the same tricks."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.shop import ROOT

# The oldest Python that the project supports.
OLDEST = (3, 11)
# Where Pythons are found: on the path, and where tools install several versions.
PLACES = (*os.environ["PATH"].split(os.pathsep), str(Path.home() / ".pyenv" / "versions" / "*" / "bin"))
TRICK = "=?UTF-8?Q?=0A?=Bcc: e@x.example"
NAMES = [
    "Alice Adams",
    "Þórhildur",
    TRICK,
    "x=?UTF-8?Q?=0A?=Bcc: e",
    "=?utf-8?B?ZUB4LmV4YW1wbGU=?=",
    "a\r\nBcc: e",
    "ü" * 80,
]
SUBJECTS = ["Free socks", "Grüße 🧦", *NAMES[2:]]
# The first ones do no harm.
HARMLESS = 2
# Letters as a careless program would make them: with no Python's parser may the gate let them through.
HEADS = [
    f"To: {TRICK} <alice@x.example>",
    f'To: "{TRICK}" <alice@x.example>',
    "To: =?utf-8?Q?a=0ABcc?= <alice@x.example>",
    "To: alice@x.example\r\nSubject: x=?UTF-8?Q?=0A?=Bcc: e",
    "To: alice@x.example\r\nSubject: =?utf-8?Q?bob?=\r\n =?utf-8?Q?=40y=2Eexample?=",
    "To: alice@x.example\r\nSubject: =?utf-8?B?aGk=Ym9iQHkuZXhhbXBsZQ==?=",
    "To: alice@x.example\r\nList-Unsubscribe: =?utf-8?q?=3Chttps=3A//socks=2Eexample/u/t=3E?=",
]
# Uses only the standard library, so that any Python can run it.
SCRIPT = """
import json, sys
from email import message_from_bytes, policy
from email.utils import getaddresses
from feedback_app.mailing.gate import check as gate
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import mime

names, subjects, heads = json.loads(sys.stdin.read())
SHOP, ALICE, ID = "hello@socks.example", "alice@x.example", "<" + "0" * 32 + "@socks.example>"
LINK = "<https://socks.example/feedback/unsubscribe/" + "t" * 90 + ">"

def made(name, subject):
    head = [("From", mime.mailbox("Socks", SHOP)), ("To", mime.mailbox(name, ALICE)),
            ("Subject", mime.unstructured(subject)), ("Message-ID", ID), ("List-Unsubscribe", LINK)]
    data = mime.message(head, date="Wed, 10 Oct 2007 13:41:00 +0000", boundary="0", text="Hi.", html="<p>Hi.</p>")
    try:
        return Letter(SHOP, ALICE, ID, data.encode(), [SHOP]).data
    except gate.GateRefused:
        return None

def reading(data):
    old, new = message_from_bytes(data, policy=policy.compat32), message_from_bytes(data, policy=policy.default)
    # Also as this Python would hand the letter on.
    for message in (old, new, message_from_bytes(new.as_bytes(), policy=policy.compat32)):
        assert sorted(message.keys()) == sorted(
            ["From", "To", "Subject", "Message-ID", "List-Unsubscribe", "Date", "MIME-Version", "Content-Type"])
        readers = getaddresses([str(one).replace(chr(10), "").replace(chr(13), "") for one in message.get_all("To")])
        assert [address for _, address in readers] == [ALICE], readers
    assert old["List-Unsubscribe"] == LINK
    return [str(new["Subject"]), new["To"].addresses[0].display_name]

found = []
for name in names:
    for subject in subjects:
        data = made(name, subject)
        found.append([name, subject, data and reading(data)])
stopped = []
for head in heads:
    subject = "" if "Subject" in head else "Subject: Socks\\r\\n"
    data = (f"From: {SHOP}\\r\\n{head}\\r\\n{subject}Message-ID: {ID}\\r\\nDate: Wed, 10 Oct 2007 13:41:00 +0000\\r\\n"
            'MIME-Version: 1.0\\r\\nContent-Type: text/plain; charset="utf-8"\\r\\n'
            "Content-Transfer-Encoding: quoted-printable\\r\\n\\r\\nHi.\\r\\n").encode()
    try:
        gate.check(data, sender=SHOP, recipient=ALICE, own=[SHOP])
    except gate.GateRefused as refused:
        stopped.append(str(refused))
    else:
        stopped.append("")
print(json.dumps([found, stopped]))
"""


def pythons() -> dict[str, Path]:
    """Return this machine's supported Pythons by version, including the one that runs the tests."""
    names = ["python3", *(f"python3.{minor}" for minor in range(OLDEST[1], 20))]
    folders = [folder for place in PLACES if place for folder in sorted(Path("/").glob(place.strip("/")))]
    found: dict[str, Path] = {}
    for path in dict.fromkeys(
        [Path(sys.executable).resolve(), *(folder / name for folder in folders for name in names)]
    ):
        if path.exists() and (version := version_of(path)) >= OLDEST:
            found.setdefault(".".join(map(str, version)), path)
    return found


def version_of(path: Path) -> tuple[int, ...]:
    """Return the version of a Python; empty for a launcher whose Python is not installed."""
    ask = "import sys; print(*sys.version_info[:3])"
    said = subprocess.run([path, "-I", "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    return tuple(int(number) for number in said.stdout.split()) if said.returncode == 0 else ()


def told_by(python: Path) -> tuple[dict[tuple[str, str], list[str]], list[str]]:
    """Return the letters that a Python makes of hostile names and subjects, and why it stops careless letters."""
    done = subprocess.run(
        [python, "-c", SCRIPT],
        cwd=ROOT,
        input=json.dumps([NAMES, SUBJECTS, HEADS]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found, stopped = json.loads(done.stdout)
    return {(name, subject): said for name, subject, said in found}, stopped


def test_with_every_python_a_letter_has_one_recipient() -> None:
    for version, python in pythons().items():
        read, stopped = told_by(python)
        assert [head for head, why in zip(HEADS, stopped, strict=True) if not why] == [], version
        # Every Python makes the same letters.
        for name in NAMES[:HARMLESS]:
            for subject in SUBJECTS[:HARMLESS]:
                assert read[name, subject] == [subject, name], version
