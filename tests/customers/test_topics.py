"""The table of topics: a new topic needs one row and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from feedback_app.customers import topics
from feedback_app.customers.topics import SUBSCRIBABLE, TOPICS, Topic
from tests.support.catalogues import PACKAGE
from tests.support.shop import ROOT

CHECKS = ROOT / "tests" / "customers" / "with_a_fourth_topic.py"
MEMBER = """    EVENTS = "events"

    @property
    def info("""
ROW = """    Topic.EVENTS: TopicInfo(
        code=4,
        name=marked("events in the shop"),
        label=marked("Events in the shop"),
        short_label="Events",
        wording=marked("Events: you may write to me before something happens in the shop."),
        why=marked("you chose to hear about events in our shop"),
        weekly_subject=marked("Events: the last week"),
        monthly_subject=marked("Events: the last month"),
        not_wanted=marked("the customer does not want events"),
    ),
}
# The topics on"""


def test_every_topic_has_a_row() -> None:
    assert list(TOPICS) == list(Topic)


def test_no_two_topics_share_a_code() -> None:
    codes = [topic.info.code for topic in Topic]
    assert len(set(codes)) == len(codes)
    assert all(Topic.of_code(topic.info.code) is topic for topic in Topic)


def test_a_subscription_link_has_room_for_the_codes() -> None:
    assert all(0 <= topic.info.code < 8 for topic in SUBSCRIBABLE)


@pytest.fixture(scope="module")
def with_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with a fourth topic, made as the table's docstring says."""
    folder = tmp_path_factory.mktemp("with_events")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    table = folder / Path(topics.__file__).relative_to(PACKAGE.parent)
    text = table.read_text(encoding="utf-8")
    for place, new in (("\n    @property\n    def info(", MEMBER), ("}\n# The topics on", ROW)):
        assert text.count(place) == 1
        text = text.replace(place, new)
    table.write_text(text, encoding="utf-8")
    return folder


def test_a_new_row_is_enough_everywhere(with_events: Path) -> None:
    """The checks run in another process, because an enum can't be extended."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--rootdir={ROOT}", "-p", "no:cacheprovider", str(CHECKS)],
        cwd=with_events,
        env=os.environ | {"PYTHONPATH": f"{with_events}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
