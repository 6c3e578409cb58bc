"""Posts that move: renamed or redated, a post keeps its thread, and its old address leads to the new one."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from feedback_app.comments.models import FormerPath, Thread


@dataclass(frozen=True, slots=True)
class Moves:
    """What has moved: where a post's thread still is, by its new path; where old addresses lead."""

    threads: Mapping[str, str] = field(default_factory=dict)
    leads_to: Mapping[str, str] = field(default_factory=dict)


def find_moves(session: Session, sources: Mapping[str, str | None], known: Container[str]) -> Moves:
    """Which posts have moved since they were last published. `sources`: every post's file by its path.

    A post has moved when it is published where no thread is `known`, and its file's thread is where nothing is
    published now. Changes nothing.
    """
    new = {source: path for path, source in sources.items() if source and path not in known}
    threads: dict[str, str] = {}
    if new:
        for path, source in session.execute(select(Thread.path, Thread.source).where(Thread.source.is_not(None))):
            if source in new and path not in sources:
                threads[new[source]] = path
    now_at = {old: path for path, old in threads.items()}
    leads_to = dict(now_at)
    query = select(FormerPath.path, Thread.path).join(Thread, FormerPath.thread_id == Thread.id)
    for former, path in session.execute(query):
        target = now_at.get(path, path)
        if former not in sources and target in sources:
            leads_to[former] = target
    return Moves(threads, leads_to)


def move_threads(session: Session, moves: Moves, published: Container[str]) -> None:
    """Give the threads of posts that moved their new path, and remember the old one."""
    for path, old in moves.threads.items():
        thread = session.scalars(select(Thread).where(Thread.path == old)).one()
        thread.path = path
        session.execute(delete(FormerPath).where(FormerPath.path.in_([path, old])))
        session.add(FormerPath(path=old, thread_id=thread.id))
    session.flush()
    for former in session.scalars(select(FormerPath)):
        if former.path in published:
            session.delete(former)
    session.flush()
