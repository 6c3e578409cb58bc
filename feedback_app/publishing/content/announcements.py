"""New posts: one whose head says `Announce: yes` becomes a held mailing of `news`, once, when it is published.

The mailing's slug is made of the post's address and remembers: however often a post is edited, and whether its mailing
was sent or cancelled, there is no second one.
"""

import hashlib
import re
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments.threads.registry import Post
from feedback_app.config import Settings
from feedback_app.customers.topics import Topic
from feedback_app.mailing.mailings.services import hold
from feedback_app.mailing.mailings.source import LONGEST_SUBJECT, NAMELESS, MailingSource
from feedback_app.mailing.models import Mailing
from feedback_app.patterns.address_patterns import address_shaped

LONGEST_SLUG = 90
# What Markdown or a placeholder would be made of; a subject would show a backslash in front of it.
_MARKS = str.maketrans({"[": "(", "]": ")", "<": "(", ">": ")", "{": "(", "}": ")", "*": "·", "`": "'", "\\": "/"})


def announce(session: Session, settings: Settings, posts: Iterable[Post]) -> list[str]:
    """Hold a mailing for every post that is to be announced and was not yet. Returns the mailings' slugs."""
    wanted = {slug_of(post.path): post for post in posts if post.announce is not None}
    known = set(session.scalars(select(Mailing.slug).where(Mailing.slug.in_(wanted)))) if wanted else set()
    now = clock.now()
    fresh = [slug for slug in wanted if slug not in known]
    for slug in fresh:
        hold(session, _draft(slug, wanted[slug], settings), minutes=settings.hold_minutes, now=now)
    return fresh


def slug_of(path: str) -> str:
    """The slug of the mailing that announces the post at this address."""
    plain = path.removeprefix("/").removesuffix(".html")
    slug = "post-" + re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if slug == "post-" + plain.replace("/", "-") and len(slug) <= LONGEST_SLUG:
        return slug
    # Letters were lost: two posts could come to the same.
    return f"{slug[:LONGEST_SLUG].rstrip('-')}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _draft(slug: str, post: Post, settings: Settings) -> MailingSource:
    own = settings.own_addresses
    title = " ".join(post.title.split())
    if address_shaped(title, own) or not title.isprintable():
        # Masked on the blog; a letter that showed it would be stopped.
        title = "A new post"
    summary = "" if not post.announce or address_shaped(post.announce, own) else post.announce
    link = f"{settings.site_url}{post.path}"
    body = f"Hello {{{{ name }}}},\n\nthere is a new post on our blog: [{_plain(title)}]({link})\n"
    if summary:
        body += f"\n{_plain(summary)}\n"
    return MailingSource(slug, Topic.NEWS, _plain(title)[:LONGEST_SUBJECT], NAMELESS, body)


def _plain(words: str) -> str:
    """Words that Markdown takes as they are, and that hold no placeholder."""
    return "".join(character for character in words.translate(_MARKS) if character.isprintable())
