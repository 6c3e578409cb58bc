"""The kinds of single letters, and the function that makes each."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import comment_letters, customer_letters, owner_letters
from feedback_app.mailing.letters.context import LetterContext

MakeLetter = Callable[[Session, LetterContext, LetterRequest, datetime], Letter]

MAKERS: dict[LetterKind, MakeLetter] = {
    LetterKind.PREFERENCES_LINK: customer_letters.preferences_link,
    LetterKind.CONFIRM_SUBSCRIPTION: customer_letters.confirm_subscription,
    LetterKind.CHANGE_OLD: customer_letters.confirm_change_at_old_address,
    LetterKind.CHANGE_NEW: customer_letters.confirm_change_at_new_address,
    LetterKind.ADDRESS_CHANGED: customer_letters.address_changed,
    LetterKind.CONFIRM_ANSWERS: comment_letters.confirm_answers,
    LetterKind.ANSWERS: comment_letters.answers,
    LetterKind.OWN_COMMENTS: comment_letters.own_comments,
    LetterKind.MAILING_COPY: owner_letters.mailing_copy,
    LetterKind.MAILING_HALTED: owner_letters.mailing_halted,
    LetterKind.COMMENT_WAITS: owner_letters.comment_waits,
    LetterKind.COMMENTS_WAIT: owner_letters.comments_wait,
    LetterKind.SIGN_IN_NOTICE: owner_letters.sign_in_notice,
}


def make_single(session: Session, context: LetterContext, request: LetterRequest, *, now: datetime) -> Letter:
    """Return the letter that was asked for. Raises NotWanted, GateRefused and CannotOpen."""
    return MAKERS[request.kind](session, context, request, now)
