"""How long a mail worker rests when nothing is due: until the store changes, or a held mailing's time has come."""

import threading
import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.db.store_watch import StoreWatch
from feedback_app.mailing.models import Mailing, MailingState

# What falls due by the clock alone waits so long at most: another try, a digest, the letters of a worker that is gone.
LONGEST_REST_SECONDS = 12.0
# While letters are on their way or send rates hold some back.
SHORTEST_REST_SECONDS = 0.25


def seconds_until_due(session: Session, settings: Settings) -> float:
    """Return after how many seconds a worker has to look again, if nobody changes the store until then."""
    if settings.send_rate or settings.domain_rate:
        return SHORTEST_REST_SECONDS
    open_states = MailingState.HELD, MailingState.SENDING
    query = (
        select(Mailing.state, func.min(Mailing.due_at)).where(Mailing.state.in_(open_states)).group_by(Mailing.state)
    )
    due = dict(session.execute(query).all())
    if MailingState.SENDING in due:
        return SHORTEST_REST_SECONDS
    if MailingState.HELD not in due:
        return LONGEST_REST_SECONDS
    left = (due[MailingState.HELD] - clock.now()).total_seconds()
    return min(max(left, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS)


def rest(watch: StoreWatch, seconds: float, stop: threading.Event) -> None:
    """Wait until the store changes, the worker is told to stop, or so many seconds have passed."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if watch.wait(left):
            return
