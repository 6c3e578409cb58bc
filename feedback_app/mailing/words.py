"""The words for deliveries: what a customer reads about each state, and why a letter was left out.

The ledger keeps a reason in English. `SKIP_REASONS` are those that a customer may read, translated.
"""

from feedback_app.customers.models import Frequency
from feedback_app.customers.topics import Topic
from feedback_app.i18n import marked
from feedback_app.mailing.models import DeliveryState

DELIVERY_STATE_WORDS = {
    DeliveryState.QUEUED: marked("on its way to you"),
    DeliveryState.SUBMITTING: marked("on its way to you"),
    DeliveryState.ACCEPTED: marked("sent; your mail server took it"),
    DeliveryState.DEFERRED: marked("your mail server asked us to try again later"),
    DeliveryState.FAILED: marked("your mail server did not take it"),
    DeliveryState.UNKNOWN: marked("perhaps sent: the connection broke at its end"),
    DeliveryState.SKIPPED: marked("not sent"),
}

SUPPRESSED = marked("the address is suppressed")
PAUSED = marked("the customer has paused all letters")
DAILY_CAP_REACHED = marked("the customer has had today's letters")
PUT_OFF = {
    Frequency.WEEKLY: marked("put off for the weekly digest"),
    Frequency.MONTHLY: marked("put off for the monthly digest"),
}
NOTHING_LEFT = marked("there is nothing in it for the customer any more")
CANCELLED = marked("cancelled")
SKIP_REASONS = frozenset(
    {
        SUPPRESSED,
        PAUSED,
        DAILY_CAP_REACHED,
        NOTHING_LEFT,
        CANCELLED,
        *PUT_OFF.values(),
        *(topic.info.not_wanted for topic in Topic),
    }
)
