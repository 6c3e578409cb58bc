"""Opening the store: made when it is missing, refused in one line when it is not ours to use."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, LargeBinary, String, delete, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from feedback_app.config import Settings
from feedback_app.db.base import SQLITE, Base
from feedback_app.db.engine import make_engine
from feedback_app.db.store import Store
from feedback_app.security.crypto import KeyProblem, Vault
from feedback_app.security.keys import AddressKeys

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parents[1] / "migrations"
LOOKUP_CHECK = "lookup check"
SEALING_KEY = "sealing key "


class StoreProblem(Exception):  # noqa: N818 - a problem with the store, told to the owner in one line
    """The store can't be used; the message says why and what to do."""


class StoreFact(Base):
    """What the store knows of its keys: enough to recognise them, nothing to find them by."""

    __tablename__ = "store_facts"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)


def head_revision() -> str:
    """The revision that this program's tables have: migrations are numbered, the last one is the head."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def vault_of(at: Session | Store) -> Vault:
    """The vault that opens a store, or the store of a session."""
    vault: Vault = at.info["vault"]
    return vault


def open_store(settings: Settings) -> Store:
    """The store of these settings, made when it is missing.

    Raises StoreProblem or KeyProblem, one line each: a store that is not one, that another version made, or whose
    keys are not here.
    """
    engine = _engine(settings)
    try:
        with setup_lock(settings):
            _make_tables(engine)
            vault = _vault(settings, engine)
    except (DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise _unusable(settings, error) from error
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, {"vault": vault})


def upgrade_store(settings: Settings) -> tuple[str | None, str]:
    """Bring the store's tables to this program's version; safe to run twice. Returns the revisions before and after."""
    engine = _engine(settings)
    try:
        with setup_lock(settings):
            before = _revision(engine)
            if before is None:
                _refuse_strangers(engine)
            elif before > head_revision():
                raise StoreProblem(_mismatch(before))
            if before != head_revision():
                _migrate(engine)
            _vault(settings, engine)
    except (DBAPIError, sqlite3.Error) as error:
        raise _unusable(settings, error) from error
    finally:
        engine.dispose()
    return before, head_revision()


def alembic_config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration: no file, one folder, the connection handed over."""
    from alembic.config import Config  # noqa: PLC0415 - slow to import, and nearly every command does without

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision."""
    from alembic import command  # noqa: PLC0415 - as above

    command.upgrade(alembic_config(connection), revision)


def _engine(settings: Settings) -> Engine:
    url = make_url(settings.store_url)
    if url.get_backend_name() == SQLITE and url.database and not url.database.startswith("file:"):
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{Path(url.database).parent}: can't be made ({error.strerror})"
            raise StoreProblem(message) from error
        _refuse_emptied(settings, Path(url.database))
    return make_engine(settings.store_url)


def _refuse_emptied(settings: Settings, path: Path) -> None:
    """Refuse a file cut to nothing. Keys are made after the tables, so where there are keys there were tables."""
    log = path.with_name(f"{path.name}-wal")
    emptied = path.is_file() and not path.stat().st_size and not (log.is_file() and log.stat().st_size)
    if emptied and (settings.keys / "address.key").exists():
        message = f"{path}: the store is empty, and there is a key of one that was not: restore a backup, or remove it"
        raise StoreProblem(message)


@contextmanager
def setup_lock(settings: Settings) -> Iterator[None]:
    """One process at a time makes keys and tables."""
    try:
        settings.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (settings.instance / "setup.lock").open("w")
    except OSError as error:
        message = f"{settings.instance}: can't be written to ({error.strerror})"
        raise StoreProblem(message) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_tables(engine: Engine) -> None:
    """The tables of this version, where there are none yet; those of another version are refused."""
    revision = _revision(engine)
    if revision is None:
        _refuse_strangers(engine)
        _migrate(engine)
    elif revision != head_revision():
        raise StoreProblem(_mismatch(revision))


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _refuse_strangers(engine: Engine) -> None:
    tables = set(inspect(engine).get_table_names()) - {"alembic_version"}
    if tables:
        message = "the store's URL leads to a database that holds other tables; give Undisclosed one of its own"
        raise StoreProblem(message)


def _mismatch(revision: str) -> str:
    if revision > head_revision():
        return f"the store is newer ({revision}) than this program ({head_revision()}): install the newer program"
    return f"the store is older ({revision}) than this program ({head_revision()}): run `undisclosed db upgrade`"


def _migrate(engine: Engine) -> None:
    with migrating(engine) as connection:
        migrate(connection)


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction in which tables may be rebuilt.

    On SQLite a rebuilt table is dropped once, which would delete, row by row, what refers to it. Foreign keys are
    therefore off meanwhile, and checked before the commit. Raises StoreProblem if the check fails.
    """
    is_sqlite = engine.dialect.name == SQLITE
    with engine.connect() as connection:
        if is_sqlite:
            _set_foreign_keys(connection, "OFF")
        connection.execution_options(writing=True)
        try:
            with connection.begin():
                yield connection
                if is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    message = "after the migration some rows refer to others that are not there: nothing was changed"
                    raise StoreProblem(message)
        finally:
            if is_sqlite:
                _set_foreign_keys(connection, "ON")


def _set_foreign_keys(connection: Connection, state: str) -> None:
    # SQLite ignores this within a transaction.
    connection.execution_options(autocommit=True)
    connection.exec_driver_sql(f"PRAGMA foreign_keys = {state}")
    connection.rollback()
    connection.execution_options(autocommit=False)


def _unusable(settings: Settings, error: Exception) -> StoreProblem:
    url = make_url(settings.store_url)
    where = url.database if url.get_backend_name() == SQLITE else url.render_as_string(hide_password=True)
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return StoreProblem(f"{where}: the store can't be used: {reason}")


def _vault(settings: Settings, engine: Engine) -> Vault:
    keys = AddressKeys(settings)
    with Session(engine) as session:
        facts = {fact.name: fact.value for fact in session.scalars(select(StoreFact))}
    ring = keys.ring(may_make=not facts)
    needed = {value for name, value in facts.items() if name.startswith(SEALING_KEY)}
    strange = LOOKUP_CHECK in facts and facts[LOOKUP_CHECK] != ring.lookup_check
    if strange or needed - {key.id for key in ring.sealing}:
        message = f"{keys.where}: this is not the address key that the store was made with: put that one back"
        raise KeyProblem(message)
    if ring.current_id not in needed or LOOKUP_CHECK not in facts:
        with Session(engine.execution_options(writing=True)) as session, session.begin():
            note_sealing_key(session, ring.current_id)
            session.merge(StoreFact(name=LOOKUP_CHECK, value=ring.lookup_check))
    return Vault(ring, keys)


def sealing_keys(session: Session) -> set[bytes]:
    """The fingerprints of the keys that something in the store may be sealed with."""
    return set(session.scalars(select(StoreFact.value).where(StoreFact.name.startswith(SEALING_KEY))))


def note_sealing_key(session: Session, key_id: bytes) -> None:
    """Note that something may be sealed with this key from now on: the store can't be opened without it."""
    session.merge(StoreFact(name=SEALING_KEY + key_id.hex(), value=key_id))


def forget_sealing_key(session: Session, key_id: bytes) -> None:
    """Note that nothing in the store is sealed with this key any more."""
    session.execute(delete(StoreFact).where(StoreFact.name == SEALING_KEY + key_id.hex()))
