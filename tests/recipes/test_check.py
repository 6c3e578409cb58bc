"""The recipe for a check of posts: its last step runs the test that it adds."""

from pathlib import Path

from tests.support.recipes import follow


def test_a_new_check_points_out_a_post(project: Path) -> None:
    follow("Add a check of posts", project)
