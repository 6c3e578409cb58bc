"""What the code says to customers, as the catalogues have to have it."""

from functools import cache

from babel.messages.extract import extract_from_dir

from tests.support.shop import ROOT

WORDS = {"_": None, "gettext": None, "marked": None}
TEMPLATES = "templates/**"
AS_THEY_ARE_READ = {"trimmed": "true", "newstyle_gettext": "true", "trim_blocks": "true"}


@cache
def extracted() -> frozenset[str]:
    """Every text that is to be translated."""
    found = extract_from_dir(
        ROOT / "feedback_app",
        method_map=[(TEMPLATES, "jinja2"), ("**.py", "python")],
        options_map={TEMPLATES: AS_THEY_ARE_READ},
        keywords=WORDS,
    )
    return frozenset(text for _, _, text, _, _ in found if isinstance(text, str))
