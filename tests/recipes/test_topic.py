"""The recipe for a topic: its last step runs the test that it adds."""

from pathlib import Path

import pytest

from tests.support.recipes import follow


@pytest.mark.slow
def test_a_new_topic_can_be_chosen(project: Path) -> None:
    follow("Add a topic", project)
