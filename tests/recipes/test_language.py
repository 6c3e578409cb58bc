"""The recipe for a language: its last step runs the tests of all languages and the test that it adds."""

from pathlib import Path

import pytest
from babel.messages.pofile import read_po, write_po

from tests.support.recipes import follow


def translate(file: Path, block: str) -> None:
    """Translate a catalogue as the recipe's block does; all other texts stay in English."""
    example = file.with_suffix(".example")
    example.write_text(block, encoding="utf-8")
    with example.open("rb") as stream:
        translations = {str(message.id): str(message.string) for message in read_po(stream) if message.id}
    with file.open("rb") as stream:
        catalogue = read_po(stream)
    assert translations
    for message in catalogue:
        if message.id:
            message.string = translations.pop(str(message.id), message.id)
    assert not translations, "the recipe translates a text that is not in the code"
    with file.open("wb") as stream:
        write_po(stream, catalogue, width=120)


@pytest.mark.slow
def test_pages_are_in_a_new_language(project: Path) -> None:
    follow("Add a language", project, by_hand=translate)
