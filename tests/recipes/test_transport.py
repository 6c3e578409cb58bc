"""The recipe for a transport: its last step runs the test that it adds."""

from pathlib import Path

import pytest

from tests.support.recipes import follow


@pytest.mark.slow
def test_a_letter_leaves_by_a_new_transport(project: Path) -> None:
    follow("Add a transport", project)
