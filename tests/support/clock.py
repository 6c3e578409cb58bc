"""A clock that stands still until a test moves it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

OPPS_DAY = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)


@dataclass(slots=True)
class Clock:
    """A clock that goes when it is told to."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def advance(self, **time: float) -> datetime:
        """Let time go by: `advance(minutes=10)`."""
        self.moment += timedelta(**time)
        return self.moment
