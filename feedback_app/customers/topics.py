"""What a customer can be written to about: every topic, with all that depends on it, in one table.

To add a topic, add a member to `Topic` and its row to `TOPICS`. Pages, letters, commands and the API read them here;
tests/test_i18n.py then names the texts that a catalogue does not have yet.
"""

from dataclasses import dataclass
from enum import StrEnum

from feedback_app.i18n import marked


class Topic(StrEnum):
    """A topic, by the word that the store, the form fields and the commands use. The order is the pages' order."""

    SPECIALS = "specials"
    NEWS = "news"
    REPLIES = "replies"

    @property
    def info(self) -> "TopicInfo":
        """The topic's row of the table."""
        return TOPICS[self]

    @classmethod
    def of_code(cls, code: int) -> "Topic":
        """Return the topic that a link names. Raises KeyError."""
        return {topic.info.code: topic for topic in cls}[code]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """Everything that depends on the topic. Texts are in English; what customers read is translated where it is shown.

    `code` is the topic's number in signed links, from 0 to 7: never change it, never use it again.
    `name` is the topic within a sentence: "You get no more letters about …".
    `label` is the heading of its choices in the preference centre; `short_label` names it on the owner's pages.
    `wording` is what the customer agrees to: it is shown beside the choice and kept in the consent record.
    `why` ends the sentence "You get this letter because …" below each letter.
    `not_wanted` is the reason that the ledger notes when a letter is left out because the customer said no.
    `on_subscribe_page` says whether a reader who never commented can subscribe to it.
    """

    code: int
    name: str
    label: str
    short_label: str
    wording: str
    why: str
    weekly_subject: str
    monthly_subject: str
    not_wanted: str
    on_subscribe_page: bool = True


TOPICS = {
    Topic.SPECIALS: TopicInfo(
        code=1,
        name=marked("offers"),
        label=marked("Offers"),
        short_label="Offers",
        wording=marked("Offers: you may write to me when something is on sale, or free."),
        why=marked("you chose to hear about our offers"),
        weekly_subject=marked("Offers: the last week"),
        monthly_subject=marked("Offers: the last month"),
        not_wanted=marked("the customer does not want specials"),
    ),
    Topic.NEWS: TopicInfo(
        code=2,
        name=marked("news from the blog"),
        label=marked("News from the blog"),
        short_label="News",
        wording=marked("News: you may write to me when there is a new post on the blog."),
        why=marked("you chose to hear about new posts on our blog"),
        weekly_subject=marked("News from the blog: the last week"),
        monthly_subject=marked("News from the blog: the last month"),
        not_wanted=marked("the customer does not want news"),
    ),
    Topic.REPLIES: TopicInfo(
        code=3,
        name=marked("answers to your comments"),
        label=marked("Answers to my comments"),
        short_label="Answers",
        wording=marked("Answers: you may write to me when somebody answers a comment of mine."),
        why=marked("you chose to hear about answers to your comments"),
        weekly_subject=marked("Answers to your comments: the last week"),
        monthly_subject=marked("Answers to your comments: the last month"),
        not_wanted=marked("the customer does not want replies"),
        on_subscribe_page=False,
    ),
}
# The topics on the subscribe page.
SUBSCRIBABLE = tuple(topic for topic in Topic if topic.info.on_subscribe_page)


def english_wording(topic: Topic) -> str:
    """Return what a customer agrees to, in English."""
    return topic.info.wording
