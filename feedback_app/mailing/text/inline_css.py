"""A letter's stylesheet, put on the elements themselves: many mail programs read no other."""

import css_inline

# What depends on the reader's screen (dark, small) can't stand on an element, and stays where it was.
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False, keep_style_tags=False, keep_at_rules=True, remove_inlined_selectors=True
)


def inlined(html: str) -> str:
    """The same page, styled where it stands. Costs a parse: once a mailing, not once a letter."""
    return _INLINER.inline(html)
