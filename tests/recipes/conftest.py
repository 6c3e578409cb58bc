"""The copy of the project in which a recipe is followed."""

from pathlib import Path

import pytest

from tests.support.recipes import copy_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may change."""
    folder = tmp_path / "project"
    folder.mkdir()
    copy_project(folder)
    return folder
