"""Settings: read once from the environment and `INSTANCE/settings.toml`, checked, then frozen."""

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping
from email.utils import getaddresses, parseaddr
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "UNDISCLOSED_"
DEFAULT_PORT = 8000
MAX_HOLD_MINUTES = 366 * 24 * 60
_ADDRESS = re.compile(r"[!-~]+@[A-Za-z0-9.-]+")


class SettingsError(Exception):
    """A setting is unknown or malformed; the message is one line that names it."""


class Moderation(StrEnum):
    """Which comments wait for the owner."""

    ALL = "all"
    FIRST = "first"
    NONE = "none"


class Switch(StrEnum):
    """A setting that is on or off."""

    ON = "on"
    OFF = "off"


def _site_url(value: str) -> str:
    parts = _split_url(value)
    good = parts and parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    if not parts or not good or parts.path.strip("/") or parts.query or parts.fragment:
        message = "must be http://host or https://host, in ASCII, without a path"
        raise ValueError(message)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _split_url(value: str) -> SplitResult | None:
    """Split a URL, or return None when it is malformed: the library's own message could quote a password."""
    try:
        parts = urlsplit(value)
        # Reading the port checks it. URLs are put into headers, which blanks and line breaks would break.
        return parts if parts.port != 0 and value.isascii() and value.isprintable() and " " not in value else None
    except ValueError:
        return None


def _mailbox(value: str) -> str:
    # `parseaddr` would silently drop the second of two addresses.
    mailboxes = getaddresses([value])
    name, address = mailboxes[0] if len(mailboxes) == 1 else ("", "")
    if not value.isprintable() or not _ADDRESS.fullmatch(address) or value.count("@") > name.count("@") + 1:
        message = "must be one ASCII address, or a name and an address: Shop <hello@shop.example>"
        raise ValueError(message)
    return value


LANGUAGES = ("en", "de")


def _languages(value: object) -> object:
    codes = [code.strip() for code in value.split(",")] if isinstance(value, str) else value
    if not isinstance(codes, list) or not codes or not all(code in LANGUAGES for code in codes):
        message = f"must be languages separated by commas, the shop's own first, of: {', '.join(LANGUAGES)}"
        raise ValueError(message)
    return tuple(dict.fromkeys(codes))


def _one_line(value: str) -> str:
    if not value.isprintable():
        message = "must be one line"
        raise ValueError(message)
    return value


OUTBOX = "outbox:"
SMTP_SCHEMES = ("smtp", "smtp+starttls", "smtps")
# The query `?unencrypted` of smtp://host:port: the owner accepts that letters can be read on the network.
UNENCRYPTED = "unencrypted"


def _smtp_url(value: str) -> str:
    if value.startswith(OUTBOX) and len(value) > len(OUTBOX) and value.isprintable():
        return value
    parts = _split_url(value)
    good = parts and parts.scheme in SMTP_SCHEMES and parts.hostname and (parts.port or parts.scheme != "smtp")
    # The owner may let letters cross a network unencrypted, but not a password.
    query_allowed = parts and (
        not parts.query or (parts.scheme, parts.query, parts.username) == ("smtp", UNENCRYPTED, None)
    )
    if not parts or not good or not query_allowed or parts.path.strip("/") or parts.fragment:
        message = (
            "must be smtp://host:port, smtp+starttls://user:password@host:port, smtps://… or outbox:FOLDER "
            "(signs in a password are written as in URLs: %23 for #)"
        )
        raise ValueError(message)
    return value


def _store_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    value = f"postgresql+psycopg://{rest}" if scheme in {"postgresql", "postgres"} else value
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        # The library's message could quote a password.
        url = None
    # An in-memory database would be another one for each connection.
    if not url or url.drivername not in {"sqlite", "postgresql+psycopg"} or url.database in {None, "", ":memory:"}:
        message = "must be sqlite:///FILE or postgresql://user:password@host/database"
        raise ValueError(message)
    return value


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _served_at(instance: Path) -> Path:
    return instance / "served-at.json"


def _default_store_url(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['instance'].resolve() / 'store.db'}"


def _default_smtp_url(values: dict[str, Any]) -> str:
    return f"{OUTBOX}{values['instance'] / 'outbox'}"


def _default_reply_to(values: dict[str, Any]) -> str:
    return str(values["mail_from"])


def _default_site_url(values: dict[str, Any]) -> str:
    """Return the URL at which `serve` last served the site, so that builds and letters link to it."""
    try:
        return _site_url(str(json.loads(_served_at(values["instance"]).read_text(encoding="utf-8"))["site_url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return f"http://127.0.0.1:{DEFAULT_PORT}"


def _limits_url(value: str) -> str:
    parts = _split_url(value) if value != "memory://" else None
    if value != "memory://" and (not parts or parts.scheme not in {"redis", "rediss"} or not parts.hostname):
        message = "must be memory:// or redis://host:port/number"
        raise ValueError(message)
    return value


def _akismet_url(value: str) -> str:
    parts = _split_url(value)
    local = parts is not None and parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if not parts or not parts.hostname or not parts.username or not (parts.scheme == "https" or local) or parts.query:
        message = "must be https://KEY@rest.akismet.com, or another service that speaks Akismet's language"
        raise ValueError(message)
    return value.rstrip("/")


def _words(value: object) -> object:
    """Split words separated by commas; a list is taken as it is."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        message = "must be words separated by commas"
        raise ValueError(message)
    return tuple(word.strip() for word in words if word.strip())


SiteUrl = Annotated[str, AfterValidator(_site_url)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Line = Annotated[str, AfterValidator(_one_line)]


class Settings(BaseModel):
    """The shop's settings. `hold_minutes` is in minutes, the rates in letters a second, the cap in letters a day."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    instance: Path
    # Settings that can hold a secret are kept out of the repr, which may be logged.
    store_url: Annotated[str, AfterValidator(_store_url), Field(repr=False, default_factory=_default_store_url)]
    secret_key: SecretStr | None = None
    address_key: SecretStr | None = None
    smtp_url: Annotated[str, AfterValidator(_smtp_url), Field(repr=False, default_factory=_default_smtp_url)]
    site_url: Annotated[SiteUrl, Field(default_factory=_default_site_url)]
    content: Path = Path("content")
    output: Path = Path("output")
    mail_from: Mailbox = "Mongrel Socks <hello@mongrelsocks.example>"
    reply_to: Annotated[Mailbox, Field(default_factory=_default_reply_to)]
    shop_name: Line = "Mongrel Socks"
    shop_postal: Line | None = None
    owner_email: Mailbox | None = None
    moderation: Moderation = Moderation.FIRST
    hold_minutes: Annotated[float, Field(ge=0, le=MAX_HOLD_MINUTES)] = 10
    halt_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 50
    smtp_connections: Annotated[int, Field(ge=1, le=20)] = 3
    send_rate: Annotated[float, Field(ge=0)] = 0
    domain_rate: Annotated[float, Field(ge=0)] = 0
    daily_cap: Annotated[int, Field(ge=0)] = 0
    languages: Annotated[tuple[str, ...], BeforeValidator(_languages)] = ("en",)
    rate_limits: Switch = Switch.ON
    limits_url: Annotated[str, AfterValidator(_limits_url), Field(repr=False)] = "memory://"
    proxies: Annotated[int, Field(ge=0, le=10)] = 0
    spam_words: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    close_after_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    most_links: Annotated[int, Field(ge=0, le=100)] = 2
    akismet_url: Annotated[Annotated[str, AfterValidator(_akismet_url)] | None, Field(repr=False)] = None

    @property
    def keys(self) -> Path:
        """Folder of the key files."""
        return self.instance / "keys"

    @property
    def own_addresses(self) -> frozenset[str]:
        """The shop's own addresses, the only ones besides the recipient's that a letter may show."""
        return _addresses_of(self.mail_from, self.reply_to, self.owner_email)

    def at(self, site_url: str) -> Self:
        """Return the same settings with another site URL."""
        return self.model_copy(update={"site_url": _site_url(site_url)})


@cache
def _addresses_of(*mailboxes: str | None) -> frozenset[str]:
    return frozenset(parseaddr(mailbox)[1] for mailbox in mailboxes if mailbox)


def remember_site_url(settings: Settings) -> None:
    """Write down at which URL `serve` serves the site, so that other commands and later builds make the same links."""
    settings.instance.mkdir(parents=True, exist_ok=True)
    _served_at(settings.instance).write_text(json.dumps({"site_url": settings.site_url}), encoding="utf-8")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{path}: can't be read ({error.strerror})"
        raise SettingsError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error


def _bounds(name: str) -> str | None:
    """Describe the bounds of a number setting; None for other settings."""
    field = Settings.model_fields[name]
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if "ge" not in bounds:
        return None
    kind = "a whole number" if field.annotation is int else "a number"
    return (
        f"must be {kind} from {bounds['ge']} to {bounds['le']}"
        if "le" in bounds
        else f"must be {kind}, {bounds['ge']} or more"
    )


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read, check and freeze the settings; the environment wins over `INSTANCE/settings.toml`.

    Raises SettingsError, one line that names the setting.
    """
    environ = os.environ if environ is None else environ
    in_environment = {
        name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)
    }
    instance = Path(in_environment.get("instance") or "instance")
    path = instance / "settings.toml"
    in_file = _from_file(path)
    if "instance" in in_file:
        message = f"{path}: instance: can only be set by {PREFIX}INSTANCE"
        raise SettingsError(message)
    values: dict[str, Any] = {**in_file, **{name: value for name, value in in_environment.items() if value != ""}}
    values["instance"] = instance
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        where = f"{PREFIX}{name.upper()}" if name in in_environment else f"{path}: {name}"
        unknown = first["type"] == "extra_forbidden"
        pydantic_message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        reason = "there is no such setting" if unknown else _bounds(name) or pydantic_message
        message = f"{where}: {reason}"
        raise SettingsError(message) from None
