"""The languages that pages and letters can be in: catalogues (gettext) in `translations/`, English in the code itself.

`make` compiles nothing: the compiled catalogues are kept beside their sources, and a test sees to it that they agree.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.support import NullTranslations

TRANSLATIONS = Path(__file__).with_name("translations")
ENGLISH = "en"


def marked(text: str) -> str:
    """Mark a text for the catalogues where it is written; it is translated where it is said."""
    return text


@lru_cache
def catalogue(language: str) -> "NullTranslations":
    """The catalogue of a language; of English, one that changes nothing."""
    from babel.support import NullTranslations, Translations  # noqa: PLC0415 - a build of the blog says nothing in them

    if language == ENGLISH:
        return NullTranslations()
    return Translations.load(TRANSLATIONS, [language])


def said(text: str, language: str) -> str:
    """A text in a language."""
    return catalogue(language).ugettext(text)


def small(text: object) -> str:
    """A text as it stands within a sentence: its first letter small. The rest stays: German nouns are not."""
    words = str(text)
    return words[:1].lower() + words[1:]


def big(text: object) -> str:
    """A text as it begins a sentence."""
    words = str(text)
    return words[:1].upper() + words[1:]
