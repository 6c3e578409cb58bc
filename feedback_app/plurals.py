"""Counts in English, for commands and pages."""


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 comment`, `2 comments`. `plural` is needed where it does not just add an s."""
    return f"{number} {singular}" if number == 1 else f"{number} {plural or f'{singular}s'}"
