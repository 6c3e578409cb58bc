"""When digests are made: every Monday, and on the first day of every month, at eight in the morning (UTC)."""

from datetime import datetime, timedelta

from feedback_app.customers.models import Frequency

MORNING = 8
# The frequencies of digests: what would be a letter each time is collected.
COLLECTED = (Frequency.WEEKLY, Frequency.MONTHLY)


def last_digest(frequency: Frequency, now: datetime) -> datetime:
    """Return the time of the last weekly or monthly digest, at or before now (UTC)."""
    morning = now.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    if frequency is Frequency.WEEKLY:
        day = morning - timedelta(days=morning.weekday())
        return day if day <= now else day - timedelta(days=7)
    day = morning.replace(day=1)
    return day if day <= now else (day - timedelta(days=1)).replace(day=1)


def next_digest(frequency: Frequency, now: datetime) -> datetime:
    """Return the time of the next weekly or monthly digest, after now (UTC)."""
    last = last_digest(frequency, now)
    if frequency is Frequency.WEEKLY:
        return last + timedelta(days=7)
    return (last + timedelta(days=32)).replace(day=1)
