"""Settings: read once from the environment and `INSTANCE/settings.toml`, checked, then frozen."""

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from email.utils import getaddresses, parseaddr
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "UNDISCLOSED_"
DEFAULT_PORT = 8000
LONGEST_HOLD = 366 * 24 * 60
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
    parts = url_parts(value)
    good = parts and parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    if not parts or not good or parts.path.strip("/") or parts.query or parts.fragment:
        message = "must be http://host or https://host, in ASCII, without a path"
        raise ValueError(message)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def url_parts(value: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it is malformed; the library's own error could quote a password."""
    try:
        parts = urlsplit(value)
        # Asking for the port checks it. A URL stands in headers: blanks and line breaks have no place there.
        return parts if parts.port != 0 and value.isascii() and value.isprintable() and " " not in value else None
    except ValueError:
        return None


def _mailbox(value: str) -> str:
    # All of it is looked at: of two addresses, the library would take one and drop the other without a word.
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
        message = f"must be languages with commas between, the shop's own first, of: {', '.join(LANGUAGES)}"
        raise ValueError(message)
    return tuple(dict.fromkeys(codes))


def _one_line(value: str) -> str:
    if not value.isprintable():
        message = "must be one line"
        raise ValueError(message)
    return value


def _smtp_url(value: str, info: ValidationInfo) -> str:
    """Check with what `load_settings` was given: only the registry of transports knows their URLs."""
    if info.context:
        info.context["check_transport_url"](value)
    return value


def _store_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    value = f"postgresql+psycopg://{rest}" if scheme in {"postgresql", "postgres"} else value
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        # Their own words can quote a password.
        url = None
    # In memory, each connection would have a store of its own.
    if not url or url.drivername not in {"sqlite", "postgresql+psycopg"} or url.database in {None, "", ":memory:"}:
        message = "must be sqlite:///FILE or postgresql://user:password@host/database"
        raise ValueError(message)
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _served_at(instance: Path) -> Path:
    return instance / "served-at.json"


def _default_store_url(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['instance'].resolve() / 'store.db'}"


def _default_smtp_url(values: dict[str, Any]) -> str:
    return f"outbox:{values['instance'] / 'outbox'}"


def _default_reply_to(values: dict[str, Any]) -> str:
    return str(values["mail_from"])


def _default_site_url(values: dict[str, Any]) -> str:
    """Where `serve` last put the site: builds and letters made beside it lead to the same place."""
    try:
        return _site_url(str(json.loads(_served_at(values["instance"]).read_text(encoding="utf-8"))["site_url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return f"http://127.0.0.1:{DEFAULT_PORT}"


def _limits_url(value: str) -> str:
    parts = url_parts(value) if value != "memory://" else None
    if value != "memory://" and (not parts or parts.scheme not in {"redis", "rediss"} or not parts.hostname):
        message = "must be memory:// or redis://host:port/number"
        raise ValueError(message)
    return value


def _akismet_url(value: str) -> str:
    parts = url_parts(value)
    local = parts is not None and parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if not parts or not parts.hostname or not parts.username or not (parts.scheme == "https" or local) or parts.query:
        message = "must be https://KEY@rest.akismet.com, or another service that speaks Akismet's language"
        raise ValueError(message)
    return value.rstrip("/")


def _words(value: object) -> object:
    """Words with commas between them, or a list."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        message = "must be words with commas between them"
        raise ValueError(message)
    return tuple(word.strip() for word in words if word.strip())


SiteUrl = Annotated[str, AfterValidator(_site_url)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Line = Annotated[str, AfterValidator(_one_line)]


class Settings(BaseModel):
    """Everything a shop can set. Units: minutes for the hold, letters for the rates, a share from 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    instance: Path
    # These three can hold passwords: never in a repr, never in a log.
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
    hold_minutes: Annotated[float, Field(ge=0, le=LONGEST_HOLD)] = 10
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
        """The folder of the key files."""
        return self.instance / "keys"

    @property
    def own_addresses(self) -> frozenset[str]:
        """The shop's own addresses, the only ones besides the recipient's that a letter may show."""
        return _addresses_of(self.mail_from, self.reply_to, self.owner_email)

    def at(self, site_url: str) -> Self:
        """The same settings for a site at another address."""
        return self.model_copy(update={"site_url": _site_url(site_url)})


@cache
def _addresses_of(*mailboxes: str | None) -> frozenset[str]:
    return frozenset(parseaddr(mailbox)[1] for mailbox in mailboxes if mailbox)


def remember_site_url(settings: Settings) -> None:
    """Note where `serve` put the site, so that commands beside it and later builds make the same links."""
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
    """What a number may be, in words; None for a setting that is no number."""
    field = Settings.model_fields[name]
    found = {end: getattr(one, end) for one in field.metadata for end in ("ge", "le") if hasattr(one, end)}
    if "ge" not in found:
        return None
    kind = "a whole number" if field.annotation is int else "a number"
    return (
        f"must be {kind} from {found['ge']} to {found['le']}"
        if "le" in found
        else f"must be {kind}, {found['ge']} or more"
    )


def load_settings(
    environ: Mapping[str, str] | None = None, *, check_transport_url: Callable[[str], None] | None = None
) -> Settings:
    """Read, check and freeze the settings; the environment wins over `INSTANCE/settings.toml`.

    `check_transport_url` raises ValueError for a URL that no transport accepts (`mailing.transports.registry`).
    Raises SettingsError, one line that names the setting.
    """
    environ = os.environ if environ is None else environ
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    instance = Path(given.get("instance") or "instance")
    path = instance / "settings.toml"
    in_file = _from_file(path)
    if "instance" in in_file:
        message = f"{path}: instance: can only be set by {PREFIX}INSTANCE"
        raise SettingsError(message)
    values: dict[str, Any] = {**in_file, **{name: value for name, value in given.items() if value != ""}}
    values["instance"] = instance
    try:
        return Settings.model_validate(
            values, context={"check_transport_url": check_transport_url} if check_transport_url else None
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        where = f"{PREFIX}{name.upper()}" if name in given else f"{path}: {name}"
        unknown = first["type"] == "extra_forbidden"
        said = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        reason = "there is no such setting" if unknown else _bounds(name) or said
        message = f"{where}: {reason}"
        raise SettingsError(message) from None
