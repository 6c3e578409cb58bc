"""How fast letters may leave one worker: so many a second in all, and so many a second to one domain.

Nobody waits here: what may not leave yet is not claimed, or is given a later turn.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SECOND = timedelta(seconds=1)
# So many letters have been given a later turn, at most, before letters that have none yet are left alone.
MOST_WAITING = 1000
# A turn is never later than this: what seems to be later was given by a clock that was wrong.
LATEST = timedelta(hours=6)
MOST_DOMAINS = 10_000


class Limit:
    """So many letters in any span of time; a rate below one a second is one in a longer span."""

    def __init__(self, rate: float) -> None:
        """Take the letters a second."""
        self.most = max(1, int(rate))
        self.span = SECOND * max(1.0, 1 / rate)
        self._left: deque[tuple[datetime, int]] = deque()
        self._count = 0

    def free(self, now: datetime) -> int:
        """How many may leave now."""
        # A moment that is still to come was noted before the clock was put back.
        while self._left and not now - self.span < self._left[0][0] <= now:
            self._count -= self._left.popleft()[1]
        return max(0, self.most - self._count)

    def take(self, now: datetime, count: int = 1) -> None:
        """Note that so many leave."""
        self._left.append((now, count))
        self._count += count


@dataclass(slots=True)
class SendRates:
    """The rates of one worker; 0 is no limit. Units: letters a second."""

    send_rate: float
    domain_rate: float
    _all: Limit | None = None
    _domains: dict[str, Limit] = field(default_factory=dict)
    # The last turn that was given away, by domain.
    _turns: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing sent."""
        self._all = Limit(self.send_rate) if self.send_rate else None

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.send_rate or self.domain_rate)

    def free(self, now: datetime, most: int) -> int:
        """How many letters may leave now, of so many."""
        return min(most, self._all.free(now)) if self._all else most

    def take(self, now: datetime) -> None:
        """Note that a letter leaves."""
        if self._all:
            self._all.take(now)

    def later(self, address: str, now: datetime, *, waited: bool) -> datetime | None:
        """When a letter to an address has its turn; None when that is now, and then it is noted.

        A letter that has waited for its turn goes before those that have not.
        """
        if not self.domain_rate:
            return None
        domain = address.rpartition("@")[2].lower()
        limit = self._domains.get(domain) or self._known(domain, now)
        last = self._turns.get(domain)
        if last and not now < last <= now + LATEST:
            last = None
        if limit.free(now) and (waited or not last):
            limit.take(now)
            return None
        step = SECOND / self.domain_rate
        turn = min(last + step if last else now + max(limit.span, step), now + LATEST)
        self._turns[domain] = turn
        return turn

    def waiting(self, now: datetime) -> int:
        """About how many letters have been given a later turn."""
        return sum(
            int((turn - now).total_seconds() * self.domain_rate) + 1 for turn in self._turns.values() if turn > now
        )

    def fresh(self, now: datetime, most: int) -> int:
        """How many letters without a turn may be looked at, of so many."""
        return max(0, min(most, MOST_WAITING - self.waiting(now))) if self._turns else most

    def forget_turns(self) -> None:
        """Give no turn away any more: some of those who had one will not come."""
        self._turns.clear()

    def _known(self, domain: str, now: datetime) -> Limit:
        if len(self._domains) >= MOST_DOMAINS:
            self._domains = {name: one for name, one in self._domains.items() if one.free(now) < one.most}
            self._turns = {name: turn for name, turn in self._turns.items() if turn > now}
        self._domains[domain] = Limit(self.domain_rate)
        return self._domains[domain]
