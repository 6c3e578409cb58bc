"""Numbers of things in words, as commands and pages say them."""


def counted(number: int, one: str, more: str | None = None) -> str:
    """`1 comment`, `2 comments`; `more` is the word for several that is not made with an s."""
    return f"{number} {one}" if number == 1 else f"{number} {more or f'{one}s'}"
