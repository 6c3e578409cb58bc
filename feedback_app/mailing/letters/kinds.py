"""How each kind of single letter is made: a maker a kind, chosen by the request's own word."""

from collections.abc import Callable
from datetime import datetime
from email.utils import parseaddr

from sqlalchemy.orm import Session

from feedback_app.customers.address_changes import AddressSide
from feedback_app.customers.models import Customer, LetterFormat
from feedback_app.customers.services import Person, person
from feedback_app.letter_queue import LetterKind, LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import comment_letters, customer_letters, owner_letters
from feedback_app.mailing.letters.composer import LetterContext, MailingMaker, halted_letter, preferences_letter
from feedback_app.mailing.mailings.services import counts
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import LEFT_STATES, DeliveryState, Mailing, MailingState

OWNER = 0


Maker = Callable[[Session, LetterContext, LetterRequest, datetime], Letter]


def make_single(session: Session, desk: LetterContext, request: LetterRequest, *, now: datetime) -> Letter:
    """The letter that was asked for. Raises NotWanted, GateRefused and CannotOpen."""
    return MAKERS[request.kind](session, desk, request, now)


def reader_of(session: Session, desk: LetterContext, request: LetterRequest) -> Person:
    """Who gets the letter: the customer, or the owner. Raises NotWanted where there is none, and CannotOpen."""
    if request.customer_id is not None:
        return person(session, session.get_one(Customer, request.customer_id))
    address = parseaddr(desk.settings.owner_email or "")[1]
    if not address:
        message = "no owner is set"
        raise NotWanted(message)
    return Person(OWNER, address, None)


def _preferences_link(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return preferences_letter(desk, reader_of(session, desk, request), request=request.id, now=now)


def _mailing_copy(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """A mailing as the owner would get it: they see it before anybody else does."""
    owner = reader_of(session, desk, request)
    mailing = session.get(Mailing, request.about)
    if mailing is None or mailing.state is not MailingState.SENDING:
        message = "the mailing has been stopped"
        raise NotWanted(message)
    draft = MailingSource(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, mailing.body)
    return MailingMaker(desk, draft, None).letter(owner, LetterFormat.HTML, now=now)


def _mailing_halted(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    owner = reader_of(session, desk, request)
    mailing = session.get(Mailing, request.about)
    if mailing is None or mailing.state is not MailingState.HALTED:
        message = "the mailing goes on, or is cancelled"
        raise NotWanted(message)
    found = counts(session, mailing)
    return halted_letter(
        desk,
        owner,
        slug=mailing.slug,
        reason=mailing.reason or "why was not noted",
        left=sum(found[state] for state in LEFT_STATES),
        waiting=found[DeliveryState.QUEUED] + found[DeliveryState.DEFERRED],
        request=request.id,
        now=now,
    )


def _confirm_answers(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    reader = reader_of(session, desk, request)
    return comment_letters.confirm_answers(session, desk, reader, request, now=now)


def _answers(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return comment_letters.answers(session, desk, reader_of(session, desk, request), request, now=now)


def _own_comments(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return comment_letters.own_comments(desk, reader_of(session, desk, request), request, now=now)


def _comment_waits(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return owner_letters.comment_waits(session, desk, reader_of(session, desk, request), request, now=now)


def _comments_wait(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return owner_letters.comments_wait(session, desk, reader_of(session, desk, request), request, now=now)


def _sign_in_notice(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return owner_letters.sign_in_notice(desk, reader_of(session, desk, request), request, now=now)


def _confirm_subscription(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    reader = reader_of(session, desk, request)
    return customer_letters.confirm_subscription(session, desk, reader, request, now=now)


def _change_old(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return customer_letters.change_of_address(session, desk, request, AddressSide.OLD, now=now)


def _change_new(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return customer_letters.change_of_address(session, desk, request, AddressSide.NEW, now=now)


def _address_changed(session: Session, desk: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    return customer_letters.address_changed(session, desk, request, now=now)


MAKERS: dict[LetterKind, Maker] = {
    LetterKind.PREFERENCES_LINK: _preferences_link,
    LetterKind.MAILING_COPY: _mailing_copy,
    LetterKind.MAILING_HALTED: _mailing_halted,
    LetterKind.CONFIRM_ANSWERS: _confirm_answers,
    LetterKind.ANSWERS: _answers,
    LetterKind.OWN_COMMENTS: _own_comments,
    LetterKind.COMMENT_WAITS: _comment_waits,
    LetterKind.COMMENTS_WAIT: _comments_wait,
    LetterKind.SIGN_IN_NOTICE: _sign_in_notice,
    LetterKind.CONFIRM_SUBSCRIPTION: _confirm_subscription,
    LetterKind.CHANGE_OLD: _change_old,
    LetterKind.CHANGE_NEW: _change_new,
    LetterKind.ADDRESS_CHANGED: _address_changed,
}
