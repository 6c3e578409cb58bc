"""Send rates of one worker: how many letters may leave a second in all, and how many to one domain.

Nothing here waits: a letter that may not leave yet is not claimed, or it is given a later slot.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SECOND = timedelta(seconds=1)
# When about this many letters wait for their slots, no letter without one is claimed.
MAX_WAITING = 1000
# No slot is later than this: one that seems later was given by a clock that was wrong.
LATEST_SLOT = timedelta(hours=6)
MAX_DOMAINS = 10_000


class RateLimit:
    """At most so many letters in any span of time; a rate below one a second is one letter in a longer span."""

    def __init__(self, rate: float) -> None:
        """Take the rate in letters a second."""
        self.letters = max(1, int(rate))
        self.span = SECOND * max(1.0, 1 / rate)
        self._sent_at: deque[datetime] = deque()

    def available(self, now: datetime) -> int:
        """Return how many letters may leave now."""
        # A moment in the future was noted before the clock was put back.
        while self._sent_at and not now - self.span < self._sent_at[0] <= now:
            self._sent_at.popleft()
        return max(0, self.letters - len(self._sent_at))

    def count(self, now: datetime) -> None:
        """Note that a letter leaves."""
        self._sent_at.append(now)


@dataclass(slots=True)
class SendRates:
    """The rates of one worker, in letters a second; 0 is no limit."""

    send_rate: float
    domain_rate: float
    _limit: RateLimit | None = None
    _domain_limits: dict[str, RateLimit] = field(default_factory=dict)
    # The last slot that was given out, by domain.
    _last_slots: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing sent."""
        self._limit = RateLimit(self.send_rate) if self.send_rate else None

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.send_rate or self.domain_rate)

    def available(self, now: datetime, limit: int) -> int:
        """Return how many letters may leave now, up to `limit`."""
        return min(limit, self._limit.available(now)) if self._limit else limit

    def count(self, now: datetime) -> None:
        """Note that a letter leaves."""
        if self._limit:
            self._limit.count(now)

    def later_slot(self, address: str, now: datetime, *, was_deferred: bool) -> datetime | None:
        """Return when a letter to this address may leave; None when it may now, which is then counted.

        A letter that was deferred before goes ahead of those that were not.
        """
        if not self.domain_rate:
            return None
        domain = address.rpartition("@")[2].lower()
        limit = self._domain_limits.get(domain) or self._new_limit(domain, now)
        last = self._last_slots.get(domain)
        if last and not now < last <= now + LATEST_SLOT:
            last = None
        if limit.available(now) and (was_deferred or not last):
            limit.count(now)
            return None
        step = SECOND / self.domain_rate
        slot = min(last + step if last else now + max(limit.span, step), now + LATEST_SLOT)
        self._last_slots[domain] = slot
        return slot

    def waiting(self, now: datetime) -> int:
        """Return about how many letters wait for their slots."""
        return sum(
            int((slot - now).total_seconds() * self.domain_rate) + 1 for slot in self._last_slots.values() if slot > now
        )

    def untried_limit(self, now: datetime, limit: int) -> int:
        """Return how many letters that were never tried may be claimed, up to `limit`."""
        return max(0, min(limit, MAX_WAITING - self.waiting(now))) if self._last_slots else limit

    def forget_slots(self) -> None:
        """Forget the slots that were given out: some of their letters will not come."""
        self._last_slots.clear()

    def _new_limit(self, domain: str, now: datetime) -> RateLimit:
        if len(self._domain_limits) >= MAX_DOMAINS:
            self._domain_limits = {
                name: limit for name, limit in self._domain_limits.items() if limit.available(now) < limit.letters
            }
            self._last_slots = {name: slot for name, slot in self._last_slots.items() if slot > now}
        self._domain_limits[domain] = RateLimit(self.domain_rate)
        return self._domain_limits[domain]
