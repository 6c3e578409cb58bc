"""Private names of libraries: each that the program uses is listed here, with the reason."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import feedback_app

PACKAGE = Path(feedback_app.__file__).parent


class Internal(NamedTuple):
    """A name of a library that its manual does not promise: where it is defined, and why we need it."""

    library: str
    name: str
    used_in: str
    reason: str


COMPAT = "publishing/pelican/compat.py"
INTERNALS = [
    Internal(
        "pelican",
        "pelican.contents.Content._content",
        COMPAT,
        "a text's HTML before its internal links are replaced: pictures are put in, and links found, there",
    ),
    Internal(
        "pelican",
        "pelican.contents.Content._get_intrasite_link_regex",
        COMPAT,
        "the pattern of internal links, which a setting can change",
    ),
    Internal(
        "pelican",
        "pelican.contents.Content.get_content",
        COMPAT,
        "its cache is emptied between builds: it would keep every build's objects alive",
    ),
    Internal(
        "pelican",
        "pelican.contents.Content.get_summary",
        COMPAT,
        "its cache is emptied between builds: it would keep every build's objects alive",
    ),
    Internal(
        "pelican",
        "pelican.contents.Static.attach_to",
        COMPAT,
        "is replaced on files that stay where they are, so that it does not warn of it",
    ),
    Internal(
        "pelican",
        "pelican.Pelican._get_generator_classes",
        COMPAT,
        "the generators of a run: the builder keeps them from build to build",
    ),
    Internal(
        "pelican",
        "pelican.generators.Generator._update_context",
        COMPAT,
        "how a generator's subclass gives its lists to the templates",
    ),
    Internal(
        "pelican",
        "pelican.generators.Generator._add_failed_source_path",
        COMPAT,
        "how a generator's subclass tells of a file that could not be read",
    ),
    Internal(
        "pelican",
        "pelican.generators.Generator._include_path",
        COMPAT,
        "whether IGNORE_FILES lets a file through",
    ),
    Internal(
        "pelican",
        "pelican.readers.MarkdownReader._parse_metadata",
        COMPAT,
        "reads a head for the reader with one Markdown instance for all files",
    ),
    Internal(
        "pelican", "pelican.readers.MarkdownReader._source_path", COMPAT, "what `_parse_metadata` names in warnings"
    ),
    Internal("pelican", "pelican.readers.MarkdownReader._md", COMPAT, "what `_parse_metadata` converts fields with"),
    Internal("pelican", "pelican.log.console", COMPAT, "Pelican's log is kept off the terminal"),
    Internal(
        "feedgenerator",
        "feedgenerator.SyndicationFeed.latest_post_date",
        COMPAT,
        "is replaced on feeds without entries, which would have the time of the build",
    ),
    Internal(
        "flask-login",
        "flask_login.LoginManager._user_callback",
        "desk/sign_in/sessions.py",
        "the function that loads the owner, which has no public name once it is registered",
    ),
    *(
        Internal(
            "sqlalchemy",
            "sqlalchemy.pool.PoolProxiedConnection.driver_connection",
            module,
            f"the driver's own connection: {reason}",
        )
        for module, reason in (
            ("operations/backup.py", "SQLite's online backup"),
            ("operations/restore.py", "COPY"),
            ("db/store_watch.py", "LISTEN, and `PRAGMA data_version` outside of any transaction"),
        )
    ),
]
# Private names of the standard library: Python documents them.
OF_PYTHON = {"_exit", "_replace", "_asdict", "_fields", "_make"}
# Exists for type checkers only.
FOR_TYPES = "_typeshed"


def _exists(name: str) -> bool:
    """Whether an installed library has a name, as an attribute or as one that a class sets on its instances."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        *owners, last = parts[length:]
        for owner in owners:
            found = getattr(found, owner, None)
        return hasattr(found, last) or (inspect.isclass(found) and _sets(found, last))
    return False


def _sets(cls: type, name: str) -> bool:
    """Whether a class, or one that it is made of, declares an attribute or sets it on its instances."""
    sources = [inspect.getsource(base) for base in cls.__mro__ if base.__module__ != "builtins"]
    return any(f"self.{name}" in source or f" {name}: " in source for source in sources)


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _defined_in(tree: ast.Module) -> Iterator[str]:
    """Yield the private names that a module of ours defines itself."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                yield node.attr
            case ast.Constant(value=str(name)):
                # In `__slots__`, say.
                yield name


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: f"{internal.used_in}-{internal.name}")
def test_every_private_name_that_we_use_is_in_the_library(internal: Internal) -> None:
    assert _exists(internal.name), f"{internal.library} has no {internal.name} now: {internal.reason}"


def test_no_other_private_name_of_a_library_is_used() -> None:
    trees = dict(_trees())
    ours = {name for tree in trees.values() for name in _defined_in(tree) if _is_private(name)}
    listed = {(internal.used_in, internal.name.rpartition(".")[2]) for internal in INTERNALS}
    # What a library defines and a subclass of ours sets is the library's.
    ours -= {name for _, name in listed}
    found = [
        f"{path}:{node.lineno}: {node.attr}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and _is_private(node.attr)
        and node.attr not in ours | OF_PYTHON
        and (path, node.attr) not in listed
    ]
    imported = [
        f"{path}:{node.lineno}: {alias.name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in {"feedback_app", FOR_TYPES}
        for alias in node.names
        if any(_is_private(part) for part in [*(node.module or "").split("."), alias.name])
        and (path, alias.name) not in listed
    ]
    assert found + imported == []
