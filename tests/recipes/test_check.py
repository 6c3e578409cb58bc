"""The recipe for a check of posts: its last step runs the test that it adds."""

from pathlib import Path

import pytest

from tests.support.recipes import follow


@pytest.mark.slow
def test_a_new_check_points_out_a_post(project: Path) -> None:
    follow("Add a check of posts", project)
