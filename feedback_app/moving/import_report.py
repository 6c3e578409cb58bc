"""What an import did, in numbers: what came over, what was here already, what did not come over, and why."""

from collections import Counter
from dataclasses import dataclass, field

from feedback_app.comments.markup.sanitizer import clean_text, without_addresses
from feedback_app.moving.formats.records import LeftBehind

MOST_EXAMPLES = 5
LONGEST_EXAMPLE = 120


@dataclass(slots=True)
class Reasons:
    """How many did not come over for each reason, with the first few of them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    # How many of them somebody has to look at.
    unsettled: int = 0

    def add(self, reason: str, which: str, *, settled: bool = False) -> None:
        """One more. What stands in somebody's file is shown without an address in it, and on one line."""
        self.counts[reason] += 1
        self.unsettled += not settled
        some = self.examples.setdefault(reason, [])
        if len(some) < MOST_EXAMPLES:
            some.append(" ".join(without_addresses(clean_text(which)).split())[:LONGEST_EXAMPLE])

    @property
    def total(self) -> int:
        """How many in all."""
        return self.counts.total()

    def listed(self) -> list[dict[str, object]]:
        """All reasons, the commonest first, as a document."""
        return [
            {"reason": reason, "count": number, "examples": self.examples[reason]}
            for reason, number in self.counts.most_common()
        ]

    def lines(self) -> list[str]:
        """The same for people."""
        lines = []
        for reason, number in self.counts.most_common():
            examples = ", ".join(self.examples[reason]) + (", …" if number > MOST_EXAMPLES else "")
            lines.append(f"  {number} left out: {reason} ({examples})")
        return lines


@dataclass(slots=True)
class CommentsReport:
    """An import of comments.

    `alone` are answers to what did not come over: they stand on their own. `cut` had a longer name than fits.
    """

    system: str = ""
    shown: int = 0
    waiting: int = 0
    known: int = 0
    alone: int = 0
    cut: int = 0
    left_out: Reasons = field(default_factory=Reasons)
    behind: Counter[LeftBehind] = field(default_factory=Counter)

    @property
    def added(self) -> int:
        """How many are new here."""
        return self.shown + self.waiting


@dataclass(slots=True)
class PostsReport:
    """An import of posts. `redirects` are old addresses that lead to the new ones."""

    system: str = ""
    written: list[str] = field(default_factory=list)
    drafts: int = 0
    known: int = 0
    redirects: int = 0
    masked: int = 0
    pictures: int = 0
    embedded: int = 0
    left_out: Reasons = field(default_factory=Reasons)
