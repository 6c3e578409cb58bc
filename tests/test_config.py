"""Settings: every documented one is accepted, others are refused in one line that reveals no secret."""

import json
from pathlib import Path

import pytest

from feedback_app.config import PREFIX, Moderation, Settings, SettingsError, Switch, load_settings, remember_site_url
from feedback_app.mailing.transports.registry import check_url

EVERY_SETTING = {
    "store_url": "sqlite:////tmp/of-a-test.db",
    "secret_key": "a signing key that only tests use!",
    "address_key": "an address key that only tests use",
    "site_url": "https://socks.example",
    "content": "words",
    "output": "public",
    "smtp_url": "smtp+starttls://shop:pass%23word@mail.example:587",
    "mail_from": "Socks <hello@socks.example>",
    "reply_to": "desk@socks.example",
    "shop_name": "Socks & Daughters",
    "shop_postal": "1 Heel Street, Toe",
    "owner_email": "olga@socks.example",
    "moderation": "all",
    "hold_minutes": "2.5",
    "halt_share": "0.5",
    "max_in_flight": "7",
    "smtp_connections": "2",
    "send_rate": "100",
    "domain_rate": "0.5",
    "daily_cap": "3",
    "languages": "de,en",
    "rate_limits": "off",
    "limits_url": "redis://127.0.0.1:6379/0",
    "proxies": "1",
    "spam_words": "casino, pills",
    "most_links": "3",
    "close_after_days": "30",
    "akismet_url": "https://key@spam.example",
}
REFUSED: dict[str, list[str]] = {
    "store_url": [
        "mysql://shop:geheim@host/x",
        "postgresql://shop:geheim@host:port/x",
        "sqlite://",
        "store.db",
        "postgresql+asyncpg://shop:geheim@host/x",
        "sqlite:///:memory:",
    ],
    "site_url": [
        "socks.example",
        "ftp://socks.example",
        "https://socks.example/blog",
        "https://socks.example?geheim",
        "http://socks\n.example",
        "http://socks.example:99999",
        "http://tess:geheim@socks.example",
        "http://[::1",
        "http://söcks.example",
        "http://socks.example/#geheim",
    ],
    "smtp_url": [
        "smtp://mail.example",
        "outbox:",
        "http://mail.example:25",
        "smtps://mail.example:geheim",
        "smtp+starttls://shop:geheim#@mail.example:587",
        "smtp://shop:geheim\u2100@mail.example:25",
        "smtp://m:25/x",
        "smtp://mail.example:0",
        "smtp://mail.example:25?geheim",
        "smtps://mail.example?unencrypted",
        "smtp://ada:geheim@mail.example:25?unencrypted",
    ],
    "mail_from": [
        "nobody",
        "a@b.example, c@d.example",
        "Shop <a@b.example> <c@d.example>",
        "Shop\r\nBcc: eve@evil.example <a@b.example>",
        "a@@b.example",
        "söck@b.example",
        "<>",
        "a@b.example\n",
    ],
    "reply_to": ["a@b.example; c@d.example"],
    "owner_email": ["olga"],
    "shop_name": ["Socks\nBcc: eve@evil.example"],
    "shop_postal": ["1 Heel Street\rToe"],
    "moderation": ["sometimes"],
    "hold_minutes": ["-1", "soon", "nan", "inf", "1e300"],
    "halt_share": ["1.1", "-0.1", "nan"],
    "max_in_flight": ["0", "1.5", "many"],
    "smtp_connections": ["0", "21", "few"],
    "send_rate": ["-1", "inf"],
    "domain_rate": ["fast"],
    "daily_cap": ["-1", "0.5"],
    "languages": ["xx", "en,xx", "en de"],
    "rate_limits": ["maybe", "1"],
    "limits_url": ["http://127.0.0.1", "geheim"],
    "proxies": ["-1", "11"],
    "most_links": ["-1", "many"],
    "close_after_days": ["-1", "soon", "36501"],
    "akismet_url": ["geheim", "ftp://spam.example"],
    "hold": ["geheim"],
}


def load(tmp_path: Path, **values: str) -> Settings:
    """Load settings for an instance in the test's folder."""
    given = {"instance": str(tmp_path), **values}
    environ = {f"{PREFIX}{name.upper()}": value for name, value in given.items()}
    return load_settings(environ, check_transport_url=check_url)


def test_every_setting_can_be_given_in_the_environment(tmp_path: Path) -> None:
    settings = load(tmp_path, **EVERY_SETTING)
    assert set(EVERY_SETTING) | {"instance"} == set(Settings.model_fields)
    assert settings.hold_minutes == 2.5
    assert settings.moderation is Moderation.ALL
    assert settings.rate_limits is Switch.OFF
    assert settings.output == Path("public")
    assert settings.own_addresses == {"hello@socks.example", "desk@socks.example", "olga@socks.example"}


def test_every_setting_can_be_given_in_the_file(tmp_path: Path) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in EVERY_SETTING.items()]
    (tmp_path / "settings.toml").write_text("\n".join(lines), encoding="utf-8")
    assert load(tmp_path) == load(tmp_path, **EVERY_SETTING)


ALLOWED = {
    "halt_share": ("5", "must be a number from 0 to 1"),
    "hold_minutes": ("soon", "must be a number from 0 to 527040"),
    "max_in_flight": ("0", "must be a whole number from 1 to 10000"),
    "smtp_connections": ("21", "must be a whole number from 1 to 20"),
    "send_rate": ("inf", "must be a number, 0 or more"),
    "daily_cap": ("0.5", "must be a whole number, 0 or more"),
    "moderation": ("some", "must be 'all', 'first' or 'none'"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_an_error_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    value, words = ALLOWED[name]
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, **{name: value})
    assert str(refused.value) == f"UNDISCLOSED_{name.upper()}: {words}"


def test_the_file_may_contain_numbers(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("hold_minutes = 3\nhalt_share = 0.1\n", encoding="utf-8")
    assert (load(tmp_path).hold_minutes, load(tmp_path).halt_share) == (3, 0.1)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('shop_name = "In the file"\nhold_minutes = 3\n', encoding="utf-8")
    settings = load(tmp_path, shop_name="In the environment")
    assert (settings.shop_name, settings.hold_minutes) == ("In the environment", 3)


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(tmp_path, shop_name="", hold_minutes="").shop_name == "Mongrel Socks"


def test_other_programs_variables_are_ignored() -> None:
    assert load_settings({"HOME": "/root", "SECRET_KEY": "theirs"}).secret_key is None


def test_the_default_paths_are_in_the_instance_folder(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.store_url == f"sqlite:///{tmp_path}/store.db"
    assert settings.smtp_url == f"outbox:{tmp_path}/outbox"
    assert settings.keys == tmp_path / "keys"
    assert settings.site_url == "http://127.0.0.1:8000"
    assert settings.reply_to == settings.mail_from
    assert load(tmp_path, mail_from="desk@socks.example").reply_to == "desk@socks.example"
    assert (settings.hold_minutes, settings.halt_share, settings.max_in_flight) == (10, 0.2, 50)
    assert (settings.send_rate, settings.domain_rate, settings.daily_cap) == (0, 0, 0)
    assert (settings.moderation, settings.rate_limits) == (Moderation.FIRST, Switch.ON)


def test_without_settings_everything_is_in_the_folder_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert (settings.instance, settings.content, settings.output) == (Path("instance"), Path("content"), Path("output"))
    # The store is also found from another working directory.
    assert settings.store_url == f"sqlite:///{tmp_path}/instance/store.db"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgres://shop@/socks", "postgresql+psycopg://shop@/socks"),
        (
            "postgresql://shop:p%40ss@db:5433/x?sslmode=require",
            "postgresql+psycopg://shop:p%40ss@db:5433/x?sslmode=require",
        ),
        ("postgresql+psycopg://shop@/socks", "postgresql+psycopg://shop@/socks"),
        ("sqlite:///relative.db", "sqlite:///relative.db"),
    ],
    ids=["short", "long", "with its driver", "relative"],
)
def test_a_store_url_gets_the_installed_driver(tmp_path: Path, given: str, kept: str) -> None:
    assert load(tmp_path, store_url=given).store_url == kept


def test_a_site_url_loses_its_final_slash_and_capitals(tmp_path: Path) -> None:
    assert load(tmp_path, site_url="HTTPS://Socks.example:8443/").site_url == "https://socks.example:8443"


@pytest.mark.parametrize(
    "value", ["smtps://mail.example", "smtp+starttls://mail.example", "smtp://127.0.0.1:25", "outbox:/var/out box"]
)
def test_a_mail_server_url_may_have_each_of_these_forms(tmp_path: Path, value: str) -> None:
    assert load(tmp_path, smtp_url=value).smtp_url == value


@pytest.mark.parametrize("value", ["hello@socks.example", '"Socks, Inc." <hello@socks.example>', "Söcks <a@b.example>"])
def test_a_mailbox_may_be_an_address_or_a_name_and_an_address(tmp_path: Path, value: str) -> None:
    assert load(tmp_path, mail_from=value).mail_from == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name} {number}")
        for name, values in REFUSED.items()
        for number, value in enumerate(values, 1)
    ],
)
def test_a_malformed_setting_is_refused_in_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, **{name: value})
    said = str(refused.value)
    assert said.startswith(f"UNDISCLOSED_{name.upper()}: ")
    assert said.isprintable()
    assert "geheim" not in said


def test_a_malformed_setting_in_the_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('hold_minuets = "geheim"', encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load(tmp_path)
    assert str(refused.value) == f"{path}: hold_minuets: there is no such setting"
    path.write_text('secret_key = ["geheim"]', encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load(tmp_path)
    assert str(refused.value).startswith(f"{path}: secret_key: ")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("content", [b"hold_minutes = ", b"\xff\xfe", b"[a]\n[a]\n", b"instance = 'elsewhere'\n"])
def test_an_unreadable_settings_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"settings\.toml: ") as refused:
        load(tmp_path)
    assert str(refused.value).isprintable()


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(SettingsError, match=r"settings\.toml: can't be read \(Is a directory\)"):
        load(tmp_path)


def test_the_settings_repr_shows_no_secret(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        secret_key="geheim geheim geheim",
        address_key="geheim geheim geheim",
        store_url="postgresql://shop:geheim@host/x",
        smtp_url="smtps://shop:geheim@mail.example",
    )
    assert "geheim" not in f"{settings!r} {settings}"


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).hold_minutes = 0  # type: ignore[misc]


def test_commands_use_the_site_url_of_serve(tmp_path: Path) -> None:
    remember_site_url(load(tmp_path).at("http://127.0.0.1:8123"))
    assert load(tmp_path).site_url == "http://127.0.0.1:8123"
    assert load(tmp_path, site_url="https://socks.example").site_url == "https://socks.example"


@pytest.mark.parametrize("noted", ["", "[]", "{}", "null", '{"site_url": 5}', '{"site_url": "javascript:1"}'])
def test_a_broken_record_of_the_site_url_is_ignored(tmp_path: Path, noted: str) -> None:
    (tmp_path / "served-at.json").write_text(noted, encoding="utf-8")
    assert load(tmp_path).site_url == "http://127.0.0.1:8000"
