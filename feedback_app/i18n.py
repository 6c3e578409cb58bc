"""Translation of pages and letters: gettext catalogues in `translations/`; English is in the code.

The compiled catalogues are kept in the repository beside their sources, and a test checks that they agree.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.support import NullTranslations

TRANSLATIONS = Path(__file__).with_name("translations")
ENGLISH = "en"


def marked(text: str) -> str:
    """Mark a text for the catalogues. It is returned unchanged and translated where it is shown."""
    return text


@lru_cache
def catalogue(language: str) -> "NullTranslations":
    """Return the catalogue of a language; for English, one that translates nothing."""
    from babel.support import NullTranslations, Translations  # noqa: PLC0415 - slow to import, and a build of the blog translates nothing

    if language == ENGLISH:
        return NullTranslations()
    return Translations.load(TRANSLATIONS, [language])


def said(text: str, language: str) -> str:
    """Return a text in a language."""
    return catalogue(language).ugettext(text)


def small(text: object) -> str:
    """Return a text with its first letter small, for the middle of a sentence. German nouns further on keep theirs."""
    string = str(text)
    return string[:1].lower() + string[1:]


def big(text: object) -> str:
    """Return a text with its first letter capital, for the start of a sentence."""
    string = str(text)
    return string[:1].upper() + string[1:]
