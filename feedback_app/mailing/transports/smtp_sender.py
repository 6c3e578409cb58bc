"""Sends letters over one SMTP connection (RFC 5321), pipelined if the server allows it (RFC 2920)."""

import smtplib
from contextlib import suppress
from dataclasses import dataclass

from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.scrub import scrub
from feedback_app.mailing.transports.smtp_connection import (
    SENSELESS,
    ConnectionBroken,
    SmtpConnection,
    SmtpServer,
    connect,
)
from feedback_app.mailing.transports.smtp_replies import (
    CLOSING,
    EXPECTED,
    LETTER_WANTED,
    answer_of,
    not_sent,
    refusal_of,
    reply_text,
    senseless_text,
)

END = b".\r\n"
RESET = b"RSET\r\n"
# An envelope's address stands between angle brackets, in a line of commands.
_ENDS_A_PATH = bytes(range(0x21)) + b"\x7f<>"


class _ConnectionUseless(Exception):  # noqa: N818 - ends a dialogue
    """The connection is of no more use after this reply."""


@dataclass(slots=True)
class _Dialogue:
    """One connection, and how far two letters have come on it."""

    connection: SmtpConnection
    # The letter that the connection was opened for. Servers hang up on idle connections, so any other letter may be
    # tried again on a new connection; for this letter there is no better connection.
    first: Letter | None
    # The letter whose envelope was written; the server's replies to it have not been read.
    announced: Letter | None = None
    # The letter that was written whole; its reply has not been read.
    written: Letter | None = None
    # Whether a reply is due to what was written before the last envelope: to a letter, to RSET or to an empty letter.
    reply_due: bool = False
    # Whether a refused envelope has to be reset before the next one.
    needs_reset: bool = False


class SmtpSender:
    """Sends letters over one connection, which is opened for the first letter and used for all.

    When pipelined, an envelope travels with the letter before it, and the next letter can be made while the server
    reads both. At most one letter at a time has been written whole and has no reply.
    """

    def __init__(self, server: SmtpServer) -> None:
        """Take the server; nothing is opened yet."""
        self._server = server
        self._dialogue: _Dialogue | None = None
        self._answered: list[tuple[str, Answer]] = []
        # Why there is no connection. The other letters of a batch are not made to wait for the same failure.
        self._down: Answer | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._dialogue is not None

    def open(self, timeout: float) -> bool:
        """Open the connection if there is none; `timeout` is for each reply, in seconds. Returns whether it is open."""
        if self._dialogue is None:
            with suppress(smtplib.SMTPException, OSError):
                self._dialogue = _Dialogue(connect(self._server, timeout), None)
        return self.is_open

    def submit(self, letter: Letter) -> None:
        """Send one letter: MAIL, one RCPT, DATA. Waits for the reply to the letter before it, not to this one."""
        if _is_path(letter.sender) and _is_path(letter.recipient):
            self._proceed([letter])
        else:
            self._note(letter, Answer(Outcome.FAILED, "no server could read its envelope"))

    def finish(self) -> None:
        """Wait until every submitted letter has an answer."""
        while self._dialogue and (self._dialogue.announced or self._dialogue.reply_due):
            self._proceed([])

    def answers_so_far(self) -> list[tuple[str, Answer]]:
        """Return the new answers, by Message-ID. Two letters at most are still without: one written, one announced."""
        answered, self._answered, self._down = self._answered, [], None
        return answered

    def close(self) -> None:
        """Send QUIT and close the connection."""
        if self._dialogue:
            self._dialogue.connection.quit()
            self._dialogue = None

    def _note(self, letter: Letter, answer: Answer) -> None:
        self._answered.append((letter.message_id, answer))

    def _proceed(self, letters: list[Letter]) -> None:
        """Read the replies that are due, then write what follows. A letter that a lost connection left comes again."""
        while True:
            if self._dialogue is None and letters:
                self._open_for(letters[0])
            dialogue = self._dialogue
            if dialogue is None:
                for letter in letters:
                    self._note(letter, self._down or not_sent("no connection"))
                return
            try:
                ready = self._read_replies(dialogue)
                following = letters.pop(0) if letters else None
                if dialogue.connection.pipelining:
                    self._write(dialogue, ready, following)
                elif following:
                    self._write_step_by_step(dialogue, following)
            except _ConnectionUseless as error:
                letters = [*self._give_up(dialogue, str(error)), *letters]
            except ConnectionBroken as error:
                letters = [*self._give_up(dialogue, f"no connection: {error}"), *letters]
            if not letters:
                return

    def _open_for(self, letter: Letter) -> None:
        if self._down:
            return
        try:
            self._dialogue = _Dialogue(connect(self._server), letter)
        except smtplib.SMTPResponseException as error:
            words = (
                error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
            )
            # Where there should be a code, smtplib has cut off what there was.
            senseless = error.smtp_code == SENSELESS
            self._down = not_sent(senseless_text(f"…{words}") if senseless else f"{error.smtp_code} {words}")
        except (smtplib.SMTPException, OSError) as error:
            self._down = not_sent(f"no connection: {error}")

    def _give_up(self, dialogue: _Dialogue, reason: str) -> list[Letter]:
        """Give a connection up; returns the letter that has to be announced again, if there is one."""
        dialogue.connection.close()
        self._dialogue = None
        if dialogue.written:
            self._note(dialogue.written, Answer(Outcome.UNKNOWN, scrub(reason)))
        letter = dialogue.announced
        if letter is None:
            return []
        if letter is not dialogue.first:
            return [letter]
        self._note(letter, not_sent(reason))
        return []

    def _read_replies(self, dialogue: _Dialogue) -> bytes:
        """Read the replies that are due; returns what to write before anything else."""
        if dialogue.reply_due:
            self._read_end_reply(dialogue)
        return self._read_envelope_replies(dialogue) if dialogue.announced else b""

    def _read_end_reply(self, dialogue: _Dialogue) -> None:
        """Read the reply to a whole letter. Only that decides about it; a reply without sense decides nothing."""
        letter = dialogue.written
        try:
            code, words = dialogue.connection.reply()
        except ConnectionBroken as error:
            message = "the connection broke before the answer"
            raise _ConnectionUseless(message) from error
        dialogue.reply_due = False
        if letter is None:
            if code in {SENSELESS, CLOSING}:
                raise _ConnectionUseless(senseless_text(words))
            return
        if code == CLOSING:
            dialogue.written = None
            self._note(letter, not_sent(reply_text(code, words)))
            raise _ConnectionUseless(reply_text(code, words))
        answer = answer_of(code, words)
        if answer is None:
            raise _ConnectionUseless(senseless_text(words))
        dialogue.written = None
        self._note(letter, answer)

    def _read_envelope_replies(self, dialogue: _Dialogue) -> bytes:
        """Read the replies to MAIL, RCPT and DATA in a row; returns what to write next."""
        refused: dict[str, Answer] = {}
        wanted = False
        try:
            for verb, expected in EXPECTED.items():
                code, words = dialogue.connection.reply()
                if code not in expected:
                    self._read_refusal(dialogue, verb, code, words, refused)
                wanted = code == LETTER_WANTED
        except (ConnectionBroken, _ConnectionUseless):
            if not refused:
                raise
            # A refusal stands, even when the server then hangs up.
            self._refuse(dialogue, refused)
            raise
        return self._after_envelope(dialogue, refused, wanted=wanted)

    def _read_refusal(
        self, dialogue: _Dialogue, verb: str, code: int, words: bytes, refused: dict[str, Answer]
    ) -> None:
        """Note an unexpected reply as a refusal. Raises _ConnectionUseless if it is none."""
        if code == CLOSING:
            if dialogue.announced is dialogue.first:
                # It took nothing on this connection: a new connection for each letter would only add to its load.
                self._down = not_sent(reply_text(code, words))
            raise _ConnectionUseless(reply_text(code, words))
        answer = refusal_of(code, words)
        if answer is None:
            raise _ConnectionUseless(senseless_text(words))
        refused[verb] = answer

    def _refuse(self, dialogue: _Dialogue, refused: dict[str, Answer]) -> None:
        letter, dialogue.announced = dialogue.announced, None
        if letter:
            self._note(letter, next(iter(refused.values())))

    def _after_envelope(self, dialogue: _Dialogue, refused: dict[str, Answer], *, wanted: bool) -> bytes:
        """Return what to write after an envelope: the letter, or what ends a refused one."""
        if not refused and dialogue.announced:
            dialogue.written, dialogue.announced = dialogue.announced, None
            return dialogue.written.data + END
        self._refuse(dialogue, refused)
        dialogue.needs_reset = not wanted and "MAIL" not in refused
        if not wanted:
            return b""
        if "RCPT" not in refused:
            # The server has a recipient for the letter that it refused: the end alone would send an empty letter.
            message = "the server asked for a letter that it had refused"
            raise _ConnectionUseless(message)
        # RFC 2920, 3.1: a server may ask for a letter without recipients, and gets an empty one.
        return END

    def _write(self, dialogue: _Dialogue, ready: bytes, following: Letter | None) -> None:
        """Write a letter, and the envelope of the letter that follows it, at once."""
        data = ready
        dialogue.reply_due = bool(ready)
        if following and (commands := self._envelope(dialogue, following)):
            if dialogue.needs_reset:
                data = RESET
                dialogue.reply_due, dialogue.needs_reset = True, False
            data += b"".join(commands)
            dialogue.announced = following
        if not data:
            return
        try:
            dialogue.connection.write(data)
        except ConnectionBroken as error:
            if dialogue.written and error.left < len(ready):
                # The letter's end did not leave, so no server has it.
                self._note(dialogue.written, not_sent(f"the connection broke: {error}"))
                dialogue.written = None
            raise

    def _write_step_by_step(self, dialogue: _Dialogue, letter: Letter) -> None:
        """Write an envelope to a server that takes one command at a time, and the letter if it is wanted."""
        commands = self._envelope(dialogue, letter)
        if not commands:
            return
        dialogue.announced = letter
        connection = dialogue.connection
        if dialogue.needs_reset:
            connection.write(RESET)
            dialogue.reply_due, dialogue.needs_reset = True, False
            self._read_end_reply(dialogue)
        refused: dict[str, Answer] = {}
        wanted = False
        for (verb, expected), command in zip(EXPECTED.items(), commands, strict=True):
            connection.write(command)
            code, words = connection.reply()
            wanted = code == LETTER_WANTED
            if code not in expected:
                self._read_refusal(dialogue, verb, code, words, refused)
                break
        self._write(dialogue, self._after_envelope(dialogue, refused, wanted=wanted), None)

    def _envelope(self, dialogue: _Dialogue, letter: Letter) -> tuple[bytes, bytes, bytes] | None:
        """Return a letter's commands; None if this server can't take the letter."""
        options = b""
        if not (letter.data.isascii() and letter.recipient.isascii() and letter.sender.isascii()):
            if not dialogue.connection.international:
                words = "the server does not take international addresses (SMTPUTF8)"
                self._note(letter, Answer(Outcome.FAILED, words))
                return None
            options = b" SMTPUTF8 BODY=8BITMIME"
        sender, recipient = letter.sender.encode(), letter.recipient.encode()
        return b"MAIL FROM:<%b>%b\r\n" % (sender, options), b"RCPT TO:<%b>\r\n" % recipient, b"DATA\r\n"


def _is_path(address: str) -> bool:
    """Return whether an address can stand between angle brackets, and ends nothing there."""
    raw = address.encode()
    return raw != b"" and raw.translate(None, _ENDS_A_PATH) == raw
