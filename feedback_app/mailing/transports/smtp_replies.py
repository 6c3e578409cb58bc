"""What a mail server's replies mean for a letter (RFC 5321, 4.2 and 4.3)."""

from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.scrub import scrub

# The replies after which the dialogue goes on (RFC 5321, 4.3.2). Any other reply that is no refusal makes no sense: a
# server that says 250 to DATA would read the letter as commands.
EXPECTED = {"MAIL": (250,), "RCPT": (250, 251), "DATA": (354,)}
LETTER_WANTED = 354
# RFC 5321, 3.8: the server closes the connection without having taken the letter.
CLOSING = 421
_FIRST_REFUSAL = 400
# By a code's first digit (RFC 5321, 4.2.1).
_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.FAILED}


def answer_of(code: int, words: bytes) -> Answer | None:
    """Return the answer that the reply to a whole letter gives; None if the reply makes no sense."""
    outcome = _OUTCOMES.get(code // 100)
    return Answer(outcome, reply_text(code, words)) if outcome else None


def refusal_of(code: int, words: bytes) -> Answer | None:
    """Return the answer that an unexpected reply to MAIL, RCPT or DATA gives; None if the reply makes no sense."""
    return answer_of(code, words) if code >= _FIRST_REFUSAL else None


def not_sent(words: str) -> Answer:
    """Return the answer for a letter that did not leave."""
    return Answer(Outcome.NOT_SENT, scrub(words))


def reply_text(code: int, words: bytes | str) -> str:
    """Return a reply's code and words for the ledger."""
    return scrub(f"{code} {_text(words)}")


def senseless_text(words: bytes | str) -> str:
    """Return the line for the ledger about a reply that makes no sense."""
    return scrub(f"the server's answer makes no sense: {_text(words)}")


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
