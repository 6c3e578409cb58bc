"""Opening the store: made when missing, refused in one clear line when it is not ours to use."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import StoreProblem, open_store, upgrade_store
from feedback_app.db.store import Store
from feedback_app.security.crypto import KeyProblem
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, welcome
from tests.support.shop import Shop


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    """A shop on its first day, with keys of its own."""
    return load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "fresh")})


def one_line(problem: pytest.ExceptionInfo[Exception]) -> str:
    said = str(problem.value)
    assert "\n" not in said
    return said


def test_the_first_start_makes_keys_that_only_the_owner_can_read(fresh: Settings) -> None:
    open_store(fresh).close()
    key = fresh.keys / "address.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(fresh.keys.stat().st_mode) == 0o700
    before = key.read_bytes()
    open_store(fresh).close()
    assert key.read_bytes() == before


def test_a_missing_key_is_refused_and_no_new_one_is_made_over_old_data(fresh: Settings) -> None:
    open_store(fresh).close()
    (fresh.keys / "address.key").unlink()
    with pytest.raises(KeyProblem) as problem:
        open_store(fresh)
    assert "missing" in one_line(problem)
    assert not (fresh.keys / "address.key").exists()


def test_a_wrong_key_is_refused_at_start_on_each_database(make_settings: Callable[..., Settings], store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY)
    with pytest.raises(KeyProblem, match="not the address key") as problem:
        open_store(make_settings(address_key="a key of somebody else's shop altogether"))
    one_line(problem)


def test_a_key_that_is_only_part_of_the_ring_is_refused(make_settings: Callable[..., Settings], store: Store) -> None:
    ring = "a second key put in front of the rest,an address key that only tests use"
    rotated = open_store(make_settings(address_key=ring))
    welcome(rotated, ALICE, now=OPPS_DAY)
    rotated.close()
    with pytest.raises(KeyProblem):
        open_store(make_settings())
    assert store.dialect


def test_an_unreadable_key_is_one_line(fresh: Settings) -> None:
    open_store(fresh).close()
    (fresh.keys / "address.key").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyProblem) as problem:
        open_store(fresh)
    one_line(problem)


@pytest.mark.parametrize("kind", ["not a database", "truncated", "cut to nothing"])
def test_a_file_that_is_no_store_is_one_line_and_stays_as_it_is(fresh: Settings, kind: str) -> None:
    path = fresh.instance / "store.db"
    if kind != "not a database":
        open_store(fresh).close()
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3 if kind == "truncated" else 0])
    else:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"These are my memoirs, not a database. " * 400)
    before = path.read_bytes()
    with pytest.raises(StoreProblem) as problem:
        open_store(fresh)
    assert str(path) in one_line(problem)
    assert path.read_bytes() == before


def test_a_read_only_store_can_be_looked_at_and_refuses_to_change_in_one_line(sqlite_shop: Shop) -> None:
    assert sqlite_shop.json("comments", "list") == []
    read_only = f"sqlite:///file:{sqlite_shop.instance.resolve() / 'store.db'}?mode=ro&uri=true"
    assert sqlite_shop.json("comments", "list", store_url=read_only) == []
    done = sqlite_shop.run("db", "purge", expect=1, store_url=read_only)
    assert done.stderr.count("\n") == 1
    assert "readonly" in done.stderr


def test_a_database_with_other_tables_is_leftalone(settings: Settings, store: Store) -> None:
    with store.writing() as session:
        session.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreProblem, match="of its own"):
        open_store(settings)


@pytest.mark.parametrize(("revision", "said"), [("9999", "newer"), ("0000", "undisclosed db upgrade")])
def test_a_store_of_another_version_is_refused_naming_the_command(
    settings: Settings, store: Store, revision: str, said: str
) -> None:
    with store.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(StoreProblem, match=said) as problem:
        open_store(settings)
    one_line(problem)
    if revision == "9999":
        with pytest.raises(StoreProblem, match="newer"):
            upgrade_store(settings)


def test_upgrading_twice_and_while_the_shop_is_open_does_no_harm(settings: Settings, store: Store) -> None:
    number = welcome(store, ALICE, now=OPPS_DAY)
    with store.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM customers")) == 1
        first, second = upgrade_store(settings), upgrade_store(settings)
    assert first == second
    assert number


def test_the_store_is_refused_in_one_line_on_the_command_line(shop: Shop) -> None:
    shop.run("comments", "list")
    for key in (shop.instance / "keys").glob("address.key"):
        key.unlink()
    done = shop.run("comments", "list", expect=1)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "address.key" in done.stderr


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    url = f"sqlite:///{tmp_path / 'file' / 'folder' / 'store.db'}"
    settings = load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "i"), "UNDISCLOSED_STORE_URL": url})
    with pytest.raises(StoreProblem) as problem:
        open_store(settings)
    one_line(problem)


def test_sqlite_keeps_what_it_says_when_the_power_goes(fresh: Settings) -> None:
    store = open_store(fresh)
    with store.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "secure_delete")
        }
        timeout = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    store.close()
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "secure_delete": 1}
    assert timeout is not None
    assert timeout >= 10_000


def test_many_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    shop = Shop.at(tmp_path / "shop")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                os.chdir(shop.folder)
                open_store(load_settings({"UNDISCLOSED_INSTANCE": "instance"})).close()
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    open_store(load_settings({"UNDISCLOSED_INSTANCE": str(shop.instance)})).close()
    assert len(list((shop.instance / "keys").iterdir())) == 1
