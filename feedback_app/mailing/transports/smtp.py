"""Letters over SMTP (RFC 5321), pipelined where the server takes it (RFC 2920)."""

import smtplib
from contextlib import suppress
from dataclasses import dataclass

from feedback_app.config import UNENCRYPTED, is_loopback
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.results import Answer, Outcome, TransportRefused, scrub
from feedback_app.mailing.transports.smtp_connection import SENSELESS, Broken, Server, SmtpConnection, connect

END = b".\r\n"
RESET = b"RSET\r\n"
# What each command is answered with when it goes on (RFC 5321, 4.3.2). Any other answer that is no refusal is no
# answer to it: a server that says 250 to DATA would read the letter as commands.
_GOES_ON = {"MAIL": (250,), "RCPT": (250, 251), "DATA": (354,)}
_LETTER_WANTED = 354
# By an answer's first digit (RFC 5321, 4.2.1).
_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.FAILED}
# RFC 5321, 3.8: the server closes the connection, without the letter.
_CLOSING = 421
_FIRST_REFUSAL = 400
# Whatever is on the envelope stands between angle brackets, in a line of commands.
_ENDS_A_PATH = bytes(range(0x21)) + b"\x7f<>"


class _Useless(Exception):  # noqa: N818 - ends a dialogue
    """After this answer the connection is of no more use."""


@dataclass(slots=True)
class _Dialogue:
    """One connection, and where two letters stand on it."""

    connection: SmtpConnection
    # Servers hang up on connections that were idle. Only for the letter that one was opened for there is no better one
    # to be had.
    first: Letter | None
    # Its envelope was written; what the server says of it has not been read.
    announced: Letter | None = None
    # It was written whole; its answer has not been read.
    shown: Letter | None = None
    # Whether something was written before the last envelope that has an answer of its own: a letter, or nothing but
    # an end.
    ended: bool = False
    # Whether an envelope that was refused has to be forgotten before the next one.
    stale: bool = False


class SmtpTransport:
    """One SMTP connection, opened when the first letter comes and used for all.

    Pipelined, an envelope travels with the letter before it, and the next letter can be made while the server reads
    both. At most one letter at a time has been written whole and not been answered.
    """

    def __init__(self, url: str) -> None:
        """Take the server's URL. Raises TransportRefused where letters would cross a network unencrypted."""
        self._server = Server.of(url)
        self._dialogue: _Dialogue | None = None
        # By the letters' identifiers: what was answered is not kept, and the next letter takes its room.
        self._heard: list[tuple[str, Answer]] = []
        # Why there is no connection. The other letters of a batch don't wait for that, too.
        self._down: Answer | None = None
        if self._server.scheme == "smtp" and not is_loopback(self._server.host) and not self._server.unencrypted:
            message = (
                "smtp:// to another machine would show every letter to the network: use smtp+starttls:// or smtps:// "
                f"(or, where nobody else is on that network, smtp://host:port?{UNENCRYPTED})"
            )
            raise TransportRefused(message)

    def send(self, letter: Letter) -> Answer:
        """Send one letter and wait for its answer. Nothing else may be on its way."""
        self.submit(letter)
        [(_, answer)] = self.answers()
        return answer

    def submit(self, letter: Letter) -> None:
        """Send one letter: MAIL, one RCPT, DATA. Waits for the one before it, not for this one."""
        if _is_path(letter.sender) and _is_path(letter.recipient):
            self._go_on([letter])
        else:
            self._settle(letter, Answer(Outcome.FAILED, "no server could read its envelope"))

    def answers(self) -> list[tuple[str, Answer]]:
        """What became of the letters of which it was not said before, by their identifiers."""
        self.finish()
        return self.heard()

    def finish(self) -> None:
        """Wait for what is on its way."""
        while self._dialogue and (self._dialogue.announced or self._dialogue.ended):
            self._go_on([])

    def heard(self) -> list[tuple[str, Answer]]:
        """What is known by now. At most two letters are still on their way: one was shown, one announced."""
        heard, self._heard, self._down = self._heard, [], None
        return heard

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._dialogue is not None

    def ready(self, seconds: int) -> bool:
        """Whether there is a connection; opens one, if no answer to that takes longer than so many seconds."""
        if self._dialogue is None:
            with suppress(smtplib.SMTPException, OSError):
                self._dialogue = _Dialogue(connect(self._server, seconds), None)
        return self.is_open

    def close(self) -> None:
        """QUIT."""
        if self._dialogue:
            self._dialogue.connection.quit()
            self._dialogue = None

    def _settle(self, letter: Letter, answer: Answer) -> None:
        self._heard.append((letter.message_id, answer))

    def _go_on(self, letters: list[Letter]) -> None:
        """Read what is outstanding, then write what follows it. A letter that a lost connection left comes again."""
        while True:
            if self._dialogue is None and letters:
                self._open(letters[0])
            dialogue = self._dialogue
            if dialogue is None:
                for letter in letters:
                    self._settle(letter, self._down or _not_sent("no connection"))
                return
            try:
                ready = self._listen(dialogue)
                following = letters.pop(0) if letters else None
                if dialogue.connection.pipelining:
                    self._write(dialogue, ready, following)
                elif following:
                    self._write_step_by_step(dialogue, following)
            except _Useless as error:
                letters = [*self._lost(dialogue, str(error)), *letters]
            except Broken as error:
                letters = [*self._lost(dialogue, f"no connection: {error}"), *letters]
            if not letters:
                return

    def _open(self, letter: Letter) -> None:
        if self._down:
            return
        try:
            self._dialogue = _Dialogue(connect(self._server), letter)
        except smtplib.SMTPResponseException as error:
            words = _text(error.smtp_error)
            # smtplib has cut off what stands where a code should.
            senseless = error.smtp_code == SENSELESS
            self._down = _not_sent(_senseless(f"…{words}") if senseless else f"{error.smtp_code} {words}")
        except (smtplib.SMTPException, OSError) as error:
            self._down = _not_sent(f"no connection: {error}")

    def _lost(self, dialogue: _Dialogue, reason: str) -> list[Letter]:
        """Give a connection up; returns the letter that has to be announced again, if there is one."""
        dialogue.connection.close()
        self._dialogue = None
        if dialogue.shown:
            self._settle(dialogue.shown, Answer(Outcome.UNKNOWN, scrub(reason)))
        letter = dialogue.announced
        if letter is None:
            return []
        if letter is not dialogue.first:
            return [letter]
        self._settle(letter, _not_sent(reason))
        return []

    def _listen(self, dialogue: _Dialogue) -> bytes:
        """Read the answers that are outstanding; returns what to write before anything else."""
        if dialogue.ended:
            self._hear_end(dialogue)
        return self._hear_envelope(dialogue) if dialogue.announced else b""

    def _hear_end(self, dialogue: _Dialogue) -> None:
        """Read the answer to a letter. Only that tells what became of it; garbage tells nothing."""
        letter = dialogue.shown
        try:
            code, words = dialogue.connection.reply()
        except Broken as error:
            message = "the connection broke before the answer"
            raise _Useless(message) from error
        dialogue.ended = False
        if letter is None:
            if code in {SENSELESS, _CLOSING}:
                raise _Useless(_senseless(words))
            return
        if code == _CLOSING:
            dialogue.shown = None
            self._settle(letter, _not_sent(f"{code} {_text(words)}"))
            raise _Useless(_said(code, words))
        outcome = _OUTCOMES.get(code // 100)
        if outcome is None:
            raise _Useless(_senseless(words))
        dialogue.shown = None
        self._settle(letter, Answer(outcome, _said(code, words)))

    def _hear_envelope(self, dialogue: _Dialogue) -> bytes:
        """Read the answers to MAIL, RCPT and DATA, all in a row."""
        refused: dict[str, Answer] = {}
        wanted = False
        reply = dialogue.connection.reply
        try:
            for verb, good in _GOES_ON.items():
                code, words = reply()
                if code not in good:
                    self._hear_refusal(dialogue, verb, code, words, refused)
                wanted = code == _LETTER_WANTED
        except (Broken, _Useless):
            if not refused:
                raise
            # A refusal stands, even when the server then hangs up.
            self._refuse(dialogue, refused)
            raise
        return self._follow(dialogue, refused, wanted=wanted)

    def _hear_refusal(
        self, dialogue: _Dialogue, verb: str, code: int, words: bytes, refused: dict[str, Answer]
    ) -> None:
        """Note an answer that does not go on, if it makes sense."""
        if code == _CLOSING:
            if dialogue.announced is dialogue.first:
                # It took nothing on this connection: to knock again for each letter would only add to its load.
                self._down = _not_sent(f"{code} {_text(words)}")
            raise _Useless(_said(code, words))
        if code >= _FIRST_REFUSAL:
            outcome = Outcome.DEFERRED if code // 100 == 4 else Outcome.FAILED  # noqa: PLR2004 - RFC 5321, 4.2.1
            refused[verb] = Answer(outcome, _said(code, words))
        else:
            raise _Useless(_senseless(words))

    def _refuse(self, dialogue: _Dialogue, refused: dict[str, Answer]) -> None:
        letter, dialogue.announced = dialogue.announced, None
        if letter:
            self._settle(letter, next(iter(refused.values())))

    def _follow(self, dialogue: _Dialogue, refused: dict[str, Answer], *, wanted: bool) -> bytes:
        """What follows an envelope: the letter, or what ends the matter where it was refused."""
        if not refused and dialogue.announced:
            dialogue.shown, dialogue.announced = dialogue.announced, None
            return dialogue.shown.data + END
        self._refuse(dialogue, refused)
        dialogue.stale = not wanted and "MAIL" not in refused
        if not wanted:
            return b""
        if "RCPT" not in refused:
            # It has a reader for a letter that it refused: an end alone would send them an empty one.
            message = "the server asked for a letter that it had refused"
            raise _Useless(message)
        # RFC 2920, 3.1: a server may ask for a letter to nobody, and gets one with nothing in it.
        return END

    def _write(self, dialogue: _Dialogue, ready: bytes, following: Letter | None) -> None:
        """Write a letter, and the envelope of the one that follows it, at once."""
        data = ready
        dialogue.ended = bool(ready)
        if following and (commands := self._envelope(dialogue, following)):
            if dialogue.stale:
                data = RESET
                dialogue.ended, dialogue.stale = True, False
            data += b"".join(commands)
            dialogue.announced = following
        if not data:
            return
        try:
            dialogue.connection.write(data)
        except Broken as error:
            if dialogue.shown and error.left < len(ready):
                # Its end did not leave: nobody has it.
                self._settle(dialogue.shown, _not_sent(f"the connection broke: {error}"))
                dialogue.shown = None
            raise

    def _write_step_by_step(self, dialogue: _Dialogue, letter: Letter) -> None:
        """Write an envelope as to a server that takes one command at a time, and the letter if it is wanted."""
        commands = self._envelope(dialogue, letter)
        if not commands:
            return
        dialogue.announced = letter
        connection = dialogue.connection
        if dialogue.stale:
            connection.write(RESET)
            dialogue.ended, dialogue.stale = True, False
            self._hear_end(dialogue)
        refused: dict[str, Answer] = {}
        wanted = False
        for (verb, good), command in zip(_GOES_ON.items(), commands, strict=True):
            connection.write(command)
            code, words = connection.reply()
            wanted = code == _LETTER_WANTED
            if code not in good:
                self._hear_refusal(dialogue, verb, code, words, refused)
                break
        self._write(dialogue, self._follow(dialogue, refused, wanted=wanted), None)

    def _envelope(self, dialogue: _Dialogue, letter: Letter) -> tuple[bytes, bytes, bytes] | None:
        """A letter's commands; None where this server can't be given it."""
        options = b""
        if not (letter.data.isascii() and letter.recipient.isascii() and letter.sender.isascii()):
            if not dialogue.connection.international:
                words = "the server does not take international addresses (SMTPUTF8)"
                self._settle(letter, Answer(Outcome.FAILED, words))
                return None
            options = b" SMTPUTF8 BODY=8BITMIME"
        sender, recipient = letter.sender.encode(), letter.recipient.encode()
        return b"MAIL FROM:<%b>%b\r\n" % (sender, options), b"RCPT TO:<%b>\r\n" % recipient, b"DATA\r\n"


def _is_path(address: str) -> bool:
    raw = address.encode()
    return raw != b"" and raw.translate(None, _ENDS_A_PATH) == raw


def _not_sent(words: str) -> Answer:
    return Answer(Outcome.NOT_SENT, scrub(words))


def _said(code: int, words: bytes) -> str:
    return scrub(f"{code} {_text(words)}")


def _senseless(words: bytes | str) -> str:
    return scrub(f"the server's answer makes no sense: {_text(words)}")


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
