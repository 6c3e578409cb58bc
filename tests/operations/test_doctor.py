"""The doctor: says what is well and what is not, what to do, and nobody's address."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

from feedback_app.cli import undisclosed
from feedback_app.config import Settings, load_settings
from feedback_app.console import Context
from feedback_app.customers.models import Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import WorkerKind, beat
from feedback_app.mailing.mailings import services as mailings
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import Delivery, DeliveryState
from feedback_app.mailing.return_addresses import ReturnAddresses
from feedback_app.operations.doctor import Finding, Level, examine
from feedback_app.security import keys
from tests.support.clock import OPPS_DAY
from tests.support.databases import SQLITE
from tests.support.people import ALICE, BOB, welcome


def problems(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.level is Level.PROBLEM]


def said(findings: list[Finding]) -> str:
    text = "\n".join(finding.sentence for finding in findings)
    assert "@example" not in text
    return text


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    """A shop on its first day, with keys of its own."""
    return load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "fresh")})


def ask(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    context = Context()
    context.__dict__["settings"] = settings
    result = CliRunner().invoke(undisclosed, ["doctor", *arguments], obj=context)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_new_shop_is_told_where_its_keys_lie_and_that_nobody_can_read_the_store_without_them(fresh: Settings) -> None:
    code, output, _ = ask(fresh)
    assert code == 0
    for words in (
        f"{fresh.keys / 'address.key'}: without this key nobody can read the store, and backups do not hold it",
        "SQLite, at revision",
        "The store's file is whole",
        "UNDISCLOSED_SHOP_POSTAL",
        "UNDISCLOSED_OWNER_EMAIL",
        "Letters go to the folder",
        "No worker is alive",
    ):
        assert words in output


def test_findings_can_be_read_by_a_program(fresh: Settings) -> None:
    code, output, _ = ask(fresh, "--json")
    assert code == 0
    findings = json.loads(output)
    assert {finding["level"] for finding in findings} == {"ok", "note"}
    assert set(findings[0]) == {"level", "about", "sentence"}


def test_all_is_well_with_a_shop_that_has_everything(
    store: Store, make_settings: Callable[..., Settings], backend: str
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        beat(session, "1", WorkerKind.MAILER, now=OPPS_DAY)
        beat(session, "2", WorkerKind.MAILER, now=OPPS_DAY)
        beat(session, "3", WorkerKind.PUBLISHER, now=OPPS_DAY)
    settings = make_settings(
        site_url="https://mongrelsocks.example", smtp_url="smtps://mail.example", shop_postal="1 Sock Street",
        owner_email="owner@mongrelsocks.example",
    )  # fmt: skip
    assert "not signed with DKIM" in said(examine(settings, now=OPPS_DAY))
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings.keys.mkdir(mode=0o700, exist_ok=True)
    path = settings.keys / "dkim-s2007.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)
    findings = examine(settings, now=OPPS_DAY)
    assert {finding.level for finding in findings} == {Level.OK}
    text = said(findings)
    assert "publish as s2007._domainkey.mongrelsocks.example, TXT: v=DKIM1; k=ed25519; p=" in text
    assert "At work: 2 mailers, 1 publisher." in text
    assert "The key opens what is sealed" in text
    assert ("SQLite" if backend == SQLITE else "PostgreSQL") in text
    assert "owner@" not in text
    assert "UNDISCLOSED_ADDRESS_KEY is set" in text


@pytest.mark.parametrize("name", ["address.key", "secret.key", ""])
def test_a_key_that_others_can_read_is_a_problem(fresh: Settings, name: str) -> None:
    ask(fresh)
    path = fresh.keys / name
    path.chmod(0o644 if name else 0o755)
    code, output, error = ask(fresh)
    assert code == 3
    assert f"chmod {'600' if name else '700'} it" in output
    assert "1 thing needs you" in error


def test_a_site_without_https_is_a_problem_unless_it_is_this_machine(make_settings: Callable[..., Settings]) -> None:
    assert "is not https" in problems(examine(make_settings(site_url="http://shop.example"), now=OPPS_DAY))[0]
    assert not problems(examine(make_settings(site_url="http://localhost:8000"), now=OPPS_DAY))


def test_a_mail_server_that_no_worker_would_use_is_a_problem(make_settings: Callable[..., Settings]) -> None:
    open_network = "smtp://mail.example:25"
    findings = examine(make_settings(smtp_url=open_network), now=OPPS_DAY)
    [problem] = problems(findings)
    assert problem.startswith("No letter leaves: smtp:// to another machine would show every letter to the network")
    assert "Letters go to a mail server" not in said(findings)
    assert not problems(examine(make_settings(smtp_url=f"{open_network}?unencrypted"), now=OPPS_DAY))


def test_a_from_that_leaves_no_room_for_return_addresses_is_told(make_settings: Callable[..., Settings]) -> None:
    for letters, told in ((23, False), (24, True)):
        found = make_settings(smtp_url="smtps://mail.example", mail_from=f"Socks <{'s' * letters}@socks.example>")
        assert ("of what comes back nothing can be told apart" in said(examine(found, now=OPPS_DAY))) is told
        returns = ReturnAddresses(keys.signer(found), found.mail_from)
        assert ("+b" not in returns.address(1, 1)) is told


def test_halted_mailings_and_letters_in_doubt_are_named_and_nobodys_address_is(
    store: Store, settings: Settings
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        draft = MailingSource("free-socks", Topic.SPECIALS, "Free socks", "friend", "Hello")
        mailing = mailings.hold(session, draft, minutes=0, now=OPPS_DAY)
        mailings.release_due(session, now=OPPS_DAY + timedelta(seconds=1))
        mailings.halt(session, mailing.id, f"550 {ALICE.address} unknown here", now=OPPS_DAY)
        row = session.query(Delivery).first()
        assert row
        row.state = DeliveryState.UNKNOWN
    findings = examine(settings, now=OPPS_DAY)
    [halted] = problems(findings)
    assert "free-socks is halted (550" in halted
    assert "mail resume" in halted
    assert "1 letter of free-socks is in doubt" in said(findings)


def test_an_address_that_does_not_open_is_a_problem(store: Store, settings: Settings) -> None:
    number = welcome(store, ALICE, now=OPPS_DAY)
    with store.writing() as session:
        alice = session.get_one(Customer, number)
        alice.address = alice.address[:-1] + bytes([alice.address[-1] ^ 1])
    assert "can't be opened" in problems(examine(settings, now=OPPS_DAY))[0]


def test_keys_that_are_missing_or_wrong_are_said_without_a_traceback(
    fresh: Settings, store: Store, make_settings: Callable[..., Settings]
) -> None:
    open_store(fresh).close()
    (fresh.keys / "address.key").unlink()
    code, output, _ = ask(fresh)
    assert code == 3
    assert "the address key is missing" in output
    assert not (fresh.keys / "address.key").exists()
    welcome(store, ALICE, now=OPPS_DAY)
    code, output, _ = ask(make_settings(address_key="the key of somebody else's shop"))
    assert code == 3
    assert "not the address key" in output


def test_a_store_of_another_version_or_of_another_program_is_said_without_a_traceback(
    store: Store, settings: Settings
) -> None:
    for change, words in (
        ("UPDATE alembic_version SET version_num = '9999'", "newer (9999)"),
        ("DROP TABLE alembic_version", "other tables"),
    ):
        with store.writing() as session:
            session.execute(text(change))
        code, output, _ = ask(settings)
        assert code == 3
        assert words in output


@pytest.mark.parametrize("content", [b"not a database " * 1000, b"SQLite format 3\0" + b"\1" * 5000])
def test_a_file_that_is_no_store_is_said_without_a_traceback(fresh: Settings, content: bytes) -> None:
    ask(fresh)
    (fresh.instance / "store.db").write_bytes(content)
    code, output, _ = ask(fresh)
    assert code == 3
    assert "the store can't be used" in output


def test_a_damaged_store_is_a_problem(fresh: Settings) -> None:
    store = open_store(fresh)
    for number in range(200):
        with store.writing() as session:
            session.execute(text(f"INSERT INTO wordings VALUES (x'{number:064x}', '{'words' * 200}')"))  # noqa: S608
    store.close()
    file = fresh.instance / "store.db"
    content = bytearray(file.read_bytes())
    middle = len(content) * 2 // 3 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    code, output, _ = ask(fresh)
    assert code == 3
    assert "restore a backup" in output.lower()


def test_a_database_that_does_not_answer_is_said_without_its_password(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "UNDISCLOSED_INSTANCE": str(tmp_path / "i"),
            "UNDISCLOSED_STORE_URL": "postgresql://shop:hunter2@127.0.0.1:1/store",
        }
    )
    code, output, error = ask(settings)
    assert code == 3
    assert "the store can't be used" in output
    assert "hunter2" not in output + error
