"""Lists of posts in their order: by label, author, category, date, and period."""

import calendar
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from pelican.contents import Author, Category, Tag

from feedback_app.publishing.posts.lazy_post import LazyPost, Month


def by_date(posts: Iterable[LazyPost], *, newest_first: bool) -> list[LazyPost]:
    """Return posts by their dates; posts of one moment stay in the order in which they come."""
    return sorted(posts, key=lambda post: post.sort_key[0], reverse=newest_first)


def by_tag(posts: Iterable[LazyPost]) -> dict[Tag, list[LazyPost]]:
    """Return the posts with each label."""
    lists: dict[Tag, list[LazyPost]] = defaultdict(list)
    for post in posts:
        for name in post.card.get("tags", ()):
            lists[post.loader.tag(name)].append(post)
    return lists


def by_author(posts: Iterable[LazyPost]) -> list[tuple[Author, list[LazyPost]]]:
    """Return the posts of each author, in the authors' order."""
    lists: dict[Author, list[LazyPost]] = defaultdict(list)
    for post in posts:
        if "author" in post.card:
            lists[post.author].append(post)
    return sorted(lists.items())


def by_category(posts: Iterable[LazyPost], *, reverse: bool) -> list[tuple[Category, list[LazyPost]]]:
    """Return the posts of each category, in the categories' order."""
    lists: dict[Category, list[LazyPost]] = defaultdict(list)
    for post in posts:
        if "category" in post.card:
            lists[post.category].append(post)
    return sorted(lists.items(), reverse=reverse)


def by_period(
    posts: list[LazyPost], dates: list[LazyPost], settings: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Return Pelican's period archives: years, months and days, of those that the settings ask for.

    `posts` and `dates` are the same posts, in the order of lists and of dates.
    """
    periods: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for size, granularity in enumerate(("year", "month", "day"), 1):
        save_as = settings[f"{granularity.upper()}_ARCHIVE_SAVE_AS"]
        if not save_as:
            continue
        articles: dict[tuple[int, ...], list[LazyPost]] = defaultdict(list)
        for post in posts:
            articles[_period(post, size)].append(post)
        for number, group in groupby(dates, key=lambda post: _period(post, size)):
            of_period = list(group)
            first = of_period[0].date
            periods[granularity].append(
                {
                    "dates": of_period,
                    "articles": articles[number],
                    "save_as": save_as.format(date=first),
                    "url": settings[f"{granularity.upper()}_ARCHIVE_URL"].format(date=first),
                    "period": number if size == 1 else (number[0], calendar.month_name[number[1]], *number[2:]),
                    "period_num": number,
                }
            )
    return periods


def by_month(posts: list[LazyPost], settings: dict[str, Any]) -> list[Month]:
    """Return the months in which posts were published, in the order of the posts."""
    months = []
    for number, group in groupby(posts, key=lambda post: _period(post, 2)):
        articles = list(group)
        url = settings["MONTH_ARCHIVE_URL"].format(date=articles[0].date)
        months.append(Month(number[0], number[1], f"{calendar.month_name[number[1]]} {number[0]}", url, articles))
    return months


def _period(post: LazyPost, size: int) -> tuple[int, ...]:
    return (post.date.year, post.date.month, post.date.day)[:size]
