"""Moves a letter's style sheet onto its elements, because many mail programs ignore style sheets."""

import css_inline

# Media queries (dark mode) can't be inlined; they stay in the sheet.
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False, keep_style_tags=False, keep_at_rules=True, remove_inlined_selectors=True
)


def inlined(html: str) -> str:
    """Return a page with its styles inlined. This parses the page: do it once per mailing, not once per letter."""
    return _INLINER.inline(html)
