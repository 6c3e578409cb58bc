"""A clock that stands still until a test moves it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

OPPS_DAY = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)


@dataclass(slots=True)
class Clock:
    """A pinned clock."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def advance(self, **time: float) -> datetime:
        """Move the clock forward, as in `advance(minutes=10)`; return the new time."""
        self.moment += timedelta(**time)
        return self.moment
