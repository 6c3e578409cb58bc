"""Processes that work in the background, alive as long as their hearts beat in the store."""

import os
import secrets
import threading
import time
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import String

from feedback_app.db.base import Base, word

BEAT = timedelta(seconds=10)
# A worker that has not been heard of for so long is gone: its letters are in doubt from then on.
PATIENCE = timedelta(seconds=30)


class WorkerKind(StrEnum):
    """What a worker does."""

    MAILER = "mailer"
    PUBLISHER = "publisher"


class Worker(Base):
    """A process at work."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[WorkerKind] = mapped_column(word(WorkerKind))
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]


def new_worker_id() -> str:
    """A name for a worker that no other has."""
    return secrets.token_hex(16)


def beat(session: Session, worker_id: str, kind: WorkerKind, *, now: datetime) -> None:
    """Say that a worker is alive; forget those that have been silent for a day."""
    worker = session.get(Worker, worker_id)
    if worker is None:
        session.execute(delete(Worker).where(Worker.beat_at < now - timedelta(days=1)))
        session.add(Worker(id=worker_id, kind=kind, started_at=now, beat_at=now))
    else:
        worker.beat_at = now


def sign_off(session: Session, worker_id: str) -> None:
    """Say that a worker has ended in good order."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def alive(session: Session, *, now: datetime) -> set[str]:
    """The workers that have been heard of lately. One that beat in times to come did before the clock was put back."""
    lately = select(Worker.id).where(Worker.beat_at > now - PATIENCE, Worker.beat_at < now + PATIENCE)
    return set(session.scalars(lately))


def end_with_parent() -> None:
    """End this process when the one that started it is gone, so that nothing is left holding a port or a lock."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
