"""Everything held about a customer, as a document that they can read."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.clock import rfc3339
from feedback_app.comments.models import Comment, Thread
from feedback_app.customers.address_changes import addresses_of_change
from feedback_app.customers.consent import frequencies, history
from feedback_app.customers.models import AddressChange, Customer, Suppression, TypedAddress, Wording
from feedback_app.customers.services import address_of, name_of
from feedback_app.customers.topics import Topic
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing.models import Delivery, Mailing

WHY = {
    "person": "To write to you as you chose, and to nobody who did not choose it. Kept until you are erased.",
    "choices": "What you may be written to about. A missing choice is a no.",
    "consents": "The record that proves what you agreed to, when, through what and to which words. Kept for good; "
    "once you are erased, it no longer leads to you.",
    "letters": "Which letters were sent to you and what became of them, so that none is sent twice.",
    "comments": "What you wrote under posts with this address. The address itself is never shown.",
    "letter_requests": "The single letters that were asked for: links, confirmations. Purged after 7 days.",
    "address_changes": "Another address that you asked us to write to. Kept for 7 days.",
    "suppression": "That this address must not be written to, kept as a keyed hash of it.",
}


def export_customer(session: Session, customer: Customer) -> dict[str, Any]:
    """Return what is held about a customer, by kind, each with why. Raises CannotOpen."""
    return {
        kind: {"why": WHY[kind], "data": data}
        for kind, data in (
            ("person", _person(session, customer)),
            ("choices", _choices(session, customer)),
            ("consents", _consents(session, customer)),
            ("letters", _letters(session, customer)),
            ("comments", _comments(session, customer)),
            ("letter_requests", _letter_requests(session, customer)),
            ("address_changes", _address_changes(session, customer)),
            ("suppression", _suppression(session, customer)),
        )
    }


def _person(session: Session, customer: Customer) -> dict[str, Any]:
    return {
        "address": address_of(session, customer).written,
        "name": name_of(session, customer),
        "name_display": customer.name_display,
        "format": customer.format,
        "language": customer.language,
        "pause_until": customer.pause_until.isoformat() if customer.pause_until else None,
        "known_since": rfc3339(customer.created_at),
        "confirmed_at": rfc3339(customer.confirmed_at) if customer.confirmed_at else None,
    }


def _choices(session: Session, customer: Customer) -> dict[str, str | None]:
    chosen = frequencies(session, customer)
    return {topic.value: chosen[topic].value if topic in chosen else None for topic in Topic}


def _consents(session: Session, customer: Customer) -> list[dict[str, Any]]:
    return [
        {
            "at": rfc3339(event.at),
            "topic": event.topic,
            "action": event.action,
            "frequency": event.frequency,
            "through": event.channel,
            "evidence": event.evidence,
            "wording": session.get_one(Wording, event.wording_hash).text,
        }
        for event in history(session, customer)
    ]


def _letters(session: Session, customer: Customer) -> list[dict[str, Any]]:
    query = (
        select(Delivery, Mailing)
        .join(Mailing, Delivery.mailing_id == Mailing.id)
        .where(Delivery.customer_id == customer.id)
        .order_by(Delivery.id)
    )
    return [
        {
            "mailing": mailing.slug,
            "subject": mailing.subject,
            "topic": mailing.topic,
            "state": delivery.state,
            "reason": delivery.reason,
            "at": rfc3339(delivery.changed_at),
            "message_id": delivery.message_id,
        }
        for delivery, mailing in session.execute(query)
    ]


def _comments(session: Session, customer: Customer) -> list[dict[str, Any]]:
    query = (
        select(Comment, Thread)
        .join(Thread, Comment.thread_id == Thread.id)
        .where(Comment.customer_id == customer.id)
        .order_by(Comment.id)
    )
    return [
        {
            "id": comment.id,
            "post": thread.path,
            "author": comment.author,
            "status": comment.status,
            "created_at": rfc3339(comment.created_at),
            "text": comment.text,
        }
        for comment, thread in session.execute(query)
    ]


def _letter_requests(session: Session, customer: Customer) -> list[dict[str, Any]]:
    query = select(LetterRequest).where(LetterRequest.customer_id == customer.id).order_by(LetterRequest.id)
    typed = select(TypedAddress).where(TypedAddress.fingerprint == customer.fingerprint).order_by(TypedAddress.id)
    waiting = [
        {"kind": f"typed for {row.what_for}", "asked_at": rfc3339(row.at), "sent_at": None}
        for row in session.scalars(typed)
    ]
    return [
        {
            "kind": request.kind,
            "asked_at": rfc3339(request.asked_at),
            "sent_at": rfc3339(request.sent_at) if request.sent_at else None,
        }
        for request in session.scalars(query)
    ] + waiting


def _address_changes(session: Session, customer: Customer) -> list[dict[str, Any]]:
    changes = []
    for change in session.scalars(select(AddressChange).where(AddressChange.customer_id == customer.id)):
        both = addresses_of_change(session, change)
        moments = {"asked_at": change.asked_at, "old_address_said_yes_at": change.old_said_at}
        moments |= {"new_address_said_yes_at": change.new_said_at, "done_at": change.done_at}
        said = {name: rfc3339(moment) if moment else None for name, moment in moments.items()}
        changes.append({"from": both.old.written, "to": both.new.written, **said})
    return changes


def _suppression(session: Session, customer: Customer) -> dict[str, Any] | None:
    row = session.get(Suppression, customer.fingerprint)
    return {"reason": row.reason, "at": rfc3339(row.at)} if row else None
