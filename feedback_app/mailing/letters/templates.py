"""Jinja environments for the templates of letters."""

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from feedback_app.i18n import catalogue
from feedback_app.mailing.text.inline_css import inlined


def render_text(template: str, language: str, values: dict[str, object]) -> str:
    """Return a letter's plain text, from `mailing/TEMPLATE.txt`."""
    return _environment(language).get_template(f"mailing/{template}.txt").render(values)


def render_html(template: str, language: str, values: dict[str, object]) -> str:
    """Return a letter's HTML, from `mailing/TEMPLATE.html`, with its styles on the elements."""
    return inlined(_environment(language, escaping=True).get_template(f"mailing/{template}.html").render(values))


@lru_cache
def _environment(language: str, *, escaping: bool = False) -> Environment:
    """Return the environment for a language: for plain text, which must not be escaped, or for HTML."""
    environment = Environment(
        loader=PackageLoader("feedback_app"),
        autoescape=escaping,  # noqa: S701 - see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals["language"] = language
    return environment
