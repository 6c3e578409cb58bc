"""Posting a comment: judged, kept and noted in the audit log, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from feedback_app import audit_log
from feedback_app.comments.markup.sanitizer import RULES, clean_text, comment_html, without_addresses
from feedback_app.comments.models import CHANGEABLE, Comment, CommentStatus
from feedback_app.comments.notifications import follow, notify_of_replies, skip_own_reply
from feedback_app.comments.spam import form_seal
from feedback_app.comments.spam.verdicts import Evidence, Rules, find_repeat, judge_new, judge_text, repeat_hash
from feedback_app.comments.threads.registry import bump_versions
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import find_or_add_customer
from feedback_app.db.base import Base

_COMMENTS = Base.metadata.tables["comments"]


@dataclass(frozen=True, slots=True)
class Posted:
    """A comment that came in: its number, its status, and whether it is the same form sent again."""

    id: int
    status: CommentStatus
    again: bool = False


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A comment's name and text as they will be kept, and what the checks of the text found."""

    author: str
    text: str
    html: str
    repeat_hash: bytes | None
    reasons: list[str]


def prepare_text(author: str, text: str, rules: Rules) -> PreparedText:
    """Clean, render and check a comment's text: all that can be done before its transaction, in which others wait."""
    text = clean_text(text)
    html = comment_html(text)
    kept = without_addresses(text)
    return PreparedText(
        without_addresses(author),
        kept,
        html if kept == text else comment_html(kept),
        repeat_hash(text),
        judge_text(author=author, text=text, html=html, rules=rules),
    )


def post_comment(
    session: Session,
    thread_id: int,
    prepared: PreparedText,
    *,
    rules: Rules,
    evidence: Evidence,
    now: datetime,
    address: Address | None = None,
    parent: Comment | None = None,
    form_hash: bytes | None = None,
    notify: bool = False,
    proven: Sequence[int] = (),
) -> Posted:
    """Keep a comment. It waits for the owner, with the reasons, unless the rules let it through.

    A comment with an address in it always waits, and the address is not kept: the text is not encrypted. The same form
    sent twice is one comment, unless that comment was turned down or taken back meanwhile. With `notify` the owner of
    the address is asked whether they want to be told about replies; `proven` are the customers for whom this browser
    may speak, so that no letter has to ask them.
    """
    customer = find_or_add_customer(session, address, now=now) if address else None
    earlier, gone = _same_form(session, form_hash), False
    while earlier is not None:
        number, status = earlier
        if status in CHANGEABLE:
            return Posted(number, status, again=True)
        # A reader who sends it again after that means it. It becomes a new comment; sent twice at once it is still one.
        gone, form_hash = True, form_seal.form_hash("again", number)
        earlier = _same_form(session, form_hash)
    repeated = find_repeat(session, prepared.repeat_hash, now=now)
    verdict = judge_new(
        session, text_reasons=prepared.reasons, repeated=repeated, resent=gone, rules=rules, evidence=evidence
    )
    comment = {
        "thread_id": thread_id,
        "parent_id": parent.id if parent else None,
        "customer_id": customer.id if customer else None,
        "author": prepared.author,
        "text": prepared.text,
        "html": prepared.html,
        "rules": RULES,
        "status": verdict.status,
        "created_at": now,
        "changed_at": now,
        "reasons": verdict.reasons,
        "form_hash": form_hash,
        "repeat_hash": prepared.repeat_hash,
    }
    number = session.execute(insert(_COMMENTS).values(comment).returning(_COMMENTS.c.id)).scalar_one()
    audit_log.note(
        session,
        audit_log.READER,
        audit_log.Act.POSTED,
        verdict.summary,
        now=now,
        comment_id=number,
        thread_id=thread_id,
    )
    if verdict.status is CommentStatus.APPROVED:
        bump_versions(session, {thread_id})
    if customer and notify:
        follow(session, thread_id, customer, proven=customer.id in proven, now=now)
    if parent and parent.id in evidence.earlier:
        skip_own_reply(session, session.get_one(Comment, number))
    if parent and verdict.status is CommentStatus.APPROVED:
        notify_of_replies(session, [session.get_one(Comment, number)], now=now)
    return Posted(number, verdict.status)


def _same_form(session: Session, form_hash: bytes | None) -> tuple[int, CommentStatus] | None:
    """Find the comment that came with the same form and text."""
    if form_hash is None:
        return None
    row = session.execute(select(Comment.id, Comment.status).where(Comment.form_hash == form_hash)).one_or_none()
    return (row.id, row.status) if row else None
