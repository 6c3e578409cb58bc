"""A made-up blog of any size: posts like those of a shop, and its readers' comments."""

import random
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from feedback_app.clock import now
from feedback_app.comments.markup.sanitizer import RULES, comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.db.store import Store

WORDS = [
    *[
        "sock",
        "heel",
        "toe",
        "yarn",
        "wool",
        "dye",
        "needle",
        "darn",
        "mend",
        "pair",
        "odd",
        "drawer",
        "winter",
        "rain",
    ],
    *["customer", "mill", "cotton", "stripe", "pattern", "dog", "shop", "counter", "parcel", "stamp", "basket", "wash"],
    *["line", "peg", "sun", "thread", "knot", "cuff", "rib", "ankle", "foot", "boot", "shoe", "lace", "spare", "found"],
]
LABELS = [f"{first} {second}" for first in ("warm", "odd", "mended", "striped", "found") for second in WORDS[:8]]
BEGINNING = datetime(2007, 1, 1, 9, 0)  # noqa: DTZ001 - a post's date has the shop's zone
PER_POST = 10


def date_of(number: int, posts: int) -> datetime:
    """When a post was published: spread over twelve years."""
    return BEGINNING + timedelta(minutes=int(number * 12 * 365 * 24 * 60 / posts))


def write_posts(folder: Path, posts: int, extra: str = "") -> None:
    """Write so many posts, the same ones each time."""
    dice = random.Random(2007)  # noqa: S311 - a made-up blog
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(posts):
        labels = dice.sample(LABELS, dice.randint(1, 3))
        (folder / f"{number:05}.md").write_text(post_text(number, posts, labels, dice, extra), encoding="utf-8")


def post_text(number: int, posts: int, labels: list[str], dice: random.Random, extra: str = "") -> str:
    """A post's file."""
    paragraphs = []
    for index in range(5):
        words = [dice.choice(WORDS) for _ in range(60)]
        words[3] = f"*{words[3]}*"
        words[9] = f"[{words[9]}](https://mongrelsocks.example/{words[10]})"
        paragraphs.append(" ".join(words).capitalize() + ".")
        if index == 1:
            paragraphs.append("## " + " ".join(dice.choice(WORDS) for _ in range(3)).capitalize())
        if index == 2:
            paragraphs.append("- " + "\n- ".join(" ".join(dice.choice(WORDS) for _ in range(6)) for _ in range(3)))
    body = "\n\n".join(paragraphs)
    return (
        f"Title: Post {number} about {dice.choice(WORDS)}\nDate: {date_of(number, posts):%Y-%m-%d %H:%M}\n"
        f"Slug: post-{number}\nTags: {', '.join(labels)}\nSummary: In short, {dice.choice(WORDS)}.\n{extra}\n{body}\n"
    )


def write_comments(store: Store, posts: int, per_post: int = PER_POST) -> None:
    """Give every post its approved comments."""
    dice = random.Random(10)  # noqa: S311 - a made-up blog
    moment = now()
    texts = [" ".join(dice.choice(WORDS) for _ in range(30)) for _ in range(50)]
    htmls = [comment_html(text) for text in texts]
    with store.writing() as session:
        session.execute(
            insert(Thread),
            [
                {
                    "path": f"/{date_of(number, posts):%Y/%m}/post-{number}.html",
                    "title": f"Post {number}",
                    "published_at": moment,
                    "open": True,
                    "version": 1,
                }
                for number in range(posts)
            ],
        )
        session.execute(
            insert(Comment),
            [
                {
                    "thread_id": number // per_post + 1,
                    "author": f"Reader {number % 97}",
                    "text": texts[number % 50],
                    "html": htmls[number % 50],
                    "rules": RULES,
                    "status": CommentStatus.APPROVED,
                    "created_at": moment - timedelta(minutes=number),
                    "changed_at": moment - timedelta(minutes=number),
                }
                for number in range(posts * per_post)
            ],
        )
