"""Other mail programs, each installed apart, with the few lines that make it send what ours sends."""

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

DJANGO = """
import sys, time
import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

port, letters, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=port, USE_TZ=True)
django.setup()
text, html = open(f"{folder}/text").read(), open(f"{folder}/html").read()
with get_connection() as connection:
    started = time.perf_counter()
    for step in range(letters):
        message = EmailMultiAlternatives(
            "Free socks for everybody", text.replace("First Last", f"First {step}"), "hello@socks.example",
            [f"First Last <customer.{step}@example{step % 500}.com>"], connection=connection,
            headers={"List-Unsubscribe": f"<https://socks.example/u/{step}>"},
        )
        message.attach_alternative(html.replace("First Last", f"First {step}"), "text/html")
        message.send()
    print(letters / (time.perf_counter() - started))
"""
# One list, one message, its To made for each reader and a return address for each, as its outgoing runner does it.
MAILMAN = """
import shutil, sys, time
from email import message_from_bytes
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

port, letters, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
shutil.rmtree(folder / "var", ignore_errors=True)
(folder / "mailman.cfg").write_text(f'''
[mailman]
layout: here
[paths.here]
var_dir: {folder}/var
[mta]
incoming: mailman.mta.null.NullMTA
smtp_host: 127.0.0.1
smtp_port: {port}
''')
from mailman.core.initialize import initialize
initialize(str(folder / "mailman.cfg"))
from mailman.app.lifecycle import create_list
from mailman.config import config
from mailman.database.transaction import transaction
from mailman.email.message import Message
from mailman.interfaces.domain import IDomainManager
from mailman.interfaces.mailinglist import Personalization
from mailman.runners.outgoing import OutgoingRunner
from mailman.testing.helpers import make_testable_runner
from zope.component import getUtility

with transaction():
    getUtility(IDomainManager).add("socks.example")
    shop = create_list("news@socks.example")
    shop.personalize = Personalization.full
letter = MIMEMultipart("alternative")
letter["From"], letter["To"] = "hello@socks.example", "news@socks.example"
letter["Subject"] = "Free socks for everybody"
letter["Message-ID"], letter["Date"] = "<bench@socks.example>", "Wed, 10 Oct 2007 13:41:00 +0000"
letter.attach(MIMEText((folder / "text").read_text(), "plain", "utf-8"))
letter.attach(MIMEText((folder / "html").read_text(), "html", "utf-8"))
people = {f"customer.{step}@example{step % 500}.com" for step in range(letters)}
message = message_from_bytes(letter.as_bytes(), Message)
config.switchboards["out"].enqueue(message, recipients=people, listid=shop.list_id, verp=True)
runner = make_testable_runner(OutgoingRunner, "out")
started = time.perf_counter()
runner.run()
print(letters / (time.perf_counter() - started))
"""


class Peer:
    """One program in an environment of its own."""

    def __init__(self, folder: Path, program: str, packages: Sequence[str], parts: tuple[str, str]) -> None:
        """Install it. Raises CalledProcessError where its packages can't be had."""
        self._folder = folder
        venv.create(folder, with_pip=True)
        self._python = str(folder / "bin" / "python")
        subprocess.run([self._python, "-m", "pip", "install", "-q", *packages], check=True)
        for name, part in zip(("text", "html"), parts, strict=True):
            (folder / name).write_text(part, encoding="utf-8")
        (folder / "send.py").write_text(program, encoding="utf-8")

    def rate(self, port: int, letters: int) -> float:
        """How many letters a second it hands to the server on this port."""
        command = [self._python, str(self._folder / "send.py"), str(port), str(letters), str(self._folder)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=self._folder).stdout
        return float(said.split()[-1])
