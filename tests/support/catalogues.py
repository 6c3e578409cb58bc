"""The texts that customers read, and what the catalogues have of them."""

from functools import cache
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import feedback_app
from feedback_app.i18n import TRANSLATIONS

PACKAGE = Path(feedback_app.__file__).parent
WORDS = {"_": None, "gettext": None, "marked": None}
TEMPLATES = "templates/**"
AS_THEY_ARE_READ = {"trimmed": "true", "newstyle_gettext": "true", "trim_blocks": "true"}


@cache
def extracted() -> frozenset[str]:
    """Return every text that is to be translated."""
    found = extract_from_dir(
        PACKAGE,
        method_map=[(TEMPLATES, "jinja2"), ("**.py", "python")],
        options_map={TEMPLATES: AS_THEY_ARE_READ},
        keywords=WORDS,
    )
    return frozenset(text for _, _, text, _, _ in found if isinstance(text, str))


def catalogue_path(language: str, ending: str) -> Path:
    """Return the path of a catalogue: `po` for the source, `mo` for the compiled one."""
    return TRANSLATIONS / language / "LC_MESSAGES" / f"messages.{ending}"


def translated(language: str) -> dict[str, str]:
    """Return the texts of a catalogue, each with its translation. A text marked as fuzzy does not count."""
    with catalogue_path(language, "po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {str(message.id): str(message.string) for message in catalogue if message.id and not message.fuzzy}


def untranslated(language: str) -> set[str]:
    """Return the texts that a catalogue does not translate yet."""
    done = {text for text, translation in translated(language).items() if translation.strip() or not text.strip()}
    return set(extracted()) - done
