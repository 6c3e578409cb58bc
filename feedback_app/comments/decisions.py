"""What can be decided about a comment."""

from enum import StrEnum

from feedback_app.comments.models import CommentStatus


class Decision(StrEnum):
    """A verb for a button, a command or a link."""

    APPROVE = "approve"
    REJECT = "reject"
    SPAM = "spam"
    DELETE = "delete"

    @property
    def status(self) -> CommentStatus:
        """What a comment is then."""
        return _STATUS[self]

    @property
    def done(self) -> str:
        """What was done to it, in words."""
        return "marked as spam" if self is Decision.SPAM else self.status.value

    @property
    def code(self) -> int:
        """Its number in a link, which never changes."""
        return 1 + list(_STATUS).index(self)

    @classmethod
    def of(cls, code: int) -> "Decision | None":
        """The decision of a link's number."""
        return next((decision for decision in cls if decision.code == code), None)


_STATUS = {
    Decision.APPROVE: CommentStatus.APPROVED,
    Decision.REJECT: CommentStatus.REJECTED,
    Decision.SPAM: CommentStatus.SPAM,
    Decision.DELETE: CommentStatus.DELETED,
}
