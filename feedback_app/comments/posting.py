"""A comment comes in: judged, kept, and noted in the audit log, in one transaction of few statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from feedback_app.audit_log import READER, Act, jot
from feedback_app.comments.markup.sanitizer import RULES, clean_text, comment_html, without_addresses
from feedback_app.comments.models import ALIVE, Comment, CommentStatus, OpenThread, Thread
from feedback_app.comments.notifications import follow, tell_of_answers, wrote_both
from feedback_app.comments.spam import form_seal
from feedback_app.comments.spam.verdicts import (
    REPEAT_TIME,
    SAID_BEFORE,
    SENT_BEFORE,
    SHOWN,
    Rules,
    Signs,
    judge,
    judge_words,
    repeat_hash,
)
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import find_or_add_customer
from feedback_app.db.base import Base
from feedback_app.db.prepared import Driver, Prepared, driver_of

# What every posted comment needs is made once: making a statement takes longer than running it.
_THREAD = [getattr(Thread, name) for name in OpenThread._fields]
_OPEN_THREAD = Prepared(select(*_THREAD).where(Thread.path == bindparam("path"), Thread.open))
_SAME_FORM = select(Comment.id).where(Comment.form_hash == bindparam("form_hash", type_=Comment.form_hash.type))
_BEFORE = Prepared(select(_SAME_FORM.scalar_subquery(), SAID_BEFORE.scalar_subquery()))
_STATUS = Prepared(select(Comment.status).where(Comment.id == bindparam("number")))
_COMMENTS = Base.metadata.tables["comments"]
_NEW_COMMENT = Prepared(
    insert(_COMMENTS).returning(_COMMENTS.c.id),
    columns=[column.name for column in _COMMENTS.columns if column.name != "id"],
)
_TOUCH = Prepared(
    update(Thread).where(Thread.id == bindparam("number")).values(version=Thread.version + 1).returning(Thread.id)
)


@dataclass(frozen=True, slots=True)
class Posted:
    """A comment that came in: its number, whether it waits, and whether it is the same form sent again."""

    id: int
    status: CommentStatus
    again: bool = False


def open_thread(driver: Driver, path: str) -> OpenThread | None:
    """The thread of a post that is published, as it stands now."""
    if "\0" in path:
        # PostgreSQL refuses even to compare with it.
        return None
    rows = _OPEN_THREAD.run(driver, path=path)
    return OpenThread(*rows[0]) if rows else None


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A comment's words as they are kept, by what they are found again, and what is to be said against them alone."""

    author: str
    text: str
    html: str
    repeat_hash: bytes | None
    reasons: list[str]


def prepare_text(author: str, text: str, rules: Rules) -> PreparedText:
    """Look at the words of a comment: all that can be done before its transaction, in which others wait."""
    text = clean_text(text)
    html = comment_html(text)
    kept = without_addresses(text)
    return PreparedText(
        without_addresses(author),
        kept,
        html if kept == text else comment_html(kept),
        repeat_hash(text),
        judge_words(author=author, text=text, html=html, rules=rules),
    )


def post_comment(
    session: Session,
    thread_id: int,
    words: PreparedText,
    *,
    address: Address | None,
    parent: Comment | None,
    rules: Rules,
    signs: Signs,
    now: datetime,
    form_hash: bytes | None = None,
    notify: bool = False,
    proven: Sequence[int] = (),
) -> Posted:
    """Keep a comment. It waits for the owner, with the reasons, unless the rules let it through.

    A comment with an address in it always waits, and the address is not kept: the text is not sealed. The same form
    sent twice is one comment, unless that was turned down or taken back meanwhile. With `notify` the address' owner is
    asked whether they want to be told about answers; `proven` are the customers for whom this browser may speak: no
    letter has to ask them.
    """
    customer = find_or_add_customer(session, address, now=now) if address else None
    posted = post_words(
        driver_of(session),
        thread_id,
        words,
        customer_id=customer.id if customer else None,
        parent_id=parent.id if parent else None,
        rules=rules,
        signs=signs,
        now=now,
        form_hash=form_hash,
    )
    if posted.again:
        return posted
    if customer and notify:
        follow(session, thread_id, customer, proven=customer.id in proven, now=now)
    if parent and parent.id in signs.earlier:
        wrote_both(session, session.get_one(Comment, posted.id))
    if parent and posted.status is CommentStatus.APPROVED:
        tell_of_answers(session, [session.get_one(Comment, posted.id)], now=now)
    return posted


def post_words(
    driver: Driver,
    thread_id: int,
    words: PreparedText,
    *,
    rules: Rules,
    signs: Signs,
    now: datetime,
    form_hash: bytes | None = None,
    customer_id: int | None = None,
    parent_id: int | None = None,
) -> Posted:
    """The same for a comment about which nobody has to be asked or told, as the driver takes it."""
    [(again, before)] = _BEFORE.run(driver, form_hash=form_hash, said=words.repeat_hash, since=now - REPEAT_TIME)
    gone = False
    while again is not None:
        [(status,)] = _STATUS.run(driver, number=again)
        if status in ALIVE:
            return Posted(again, status, again=True)
        # Whoever sends it once more means it: it comes in anew, and twice at once is one again.
        gone, form_hash = True, form_seal.form_hash("again", again)
        [(again, before)] = _BEFORE.run(driver, form_hash=form_hash, said=words.repeat_hash, since=now - REPEAT_TIME)
    reasons = judge(driver, words.reasons, before=before, rules=rules, signs=signs)
    if gone:
        reasons.append(SENT_BEFORE)
    status = CommentStatus.PENDING if reasons else CommentStatus.APPROVED
    [(number,)] = _NEW_COMMENT.run(
        driver,
        thread_id=thread_id,
        parent_id=parent_id,
        customer_id=customer_id,
        author=words.author,
        text=words.text,
        html=words.html,
        rules=RULES,
        status=status,
        created_at=now,
        changed_at=now,
        edited_at=None,
        edited_by_owner=False,
        by_owner=False,
        owner_told_at=None,
        reasons=reasons,
        form_hash=form_hash,
        repeat_hash=words.repeat_hash,
        foreign_hash=None,
    )
    verdict = f"waits: {'; '.join(reasons)}" if reasons else SHOWN
    jot(driver, READER, Act.POSTED, verdict, now=now, comment_id=number, thread_id=thread_id)
    if not reasons:
        _TOUCH.run(driver, number=thread_id)
    return Posted(number, status)
