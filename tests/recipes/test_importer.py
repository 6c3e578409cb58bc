"""The recipe for an importer: its last step runs the test that it adds."""

from pathlib import Path

import pytest

from tests.support.recipes import follow


@pytest.mark.slow
def test_comments_come_over_by_a_new_importer(project: Path) -> None:
    follow("Add an importer", project)
