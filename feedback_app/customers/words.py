"""The words with which pages and letters say the choices and states of customers: one table for each enum.

The texts are in English; they are translated where they are shown.
"""

from feedback_app.customers.models import ConsentAction, ConsentChannel, Frequency, LetterFormat, NameDisplay
from feedback_app.i18n import marked

FREQUENCY_WORDS = {
    Frequency.NEVER: marked("Never"),
    Frequency.EACH: marked("Each time"),
    Frequency.WEEKLY: marked("Weekly, in one letter"),
    Frequency.MONTHLY: marked("Monthly, in one letter"),
}
FORMAT_WORDS = {
    LetterFormat.HTML: marked("With colours and links (HTML)"),
    LetterFormat.TEXT: marked("Plain text"),
}
NAME_DISPLAY_WORDS = {
    NameDisplay.UNDISCLOSED: marked("Undisclosed: no name at all"),
    NameDisplay.FIRST: marked("My first name"),
    NameDisplay.FULL: marked("My full name"),
}
# Each language is named in itself, so that its readers find it.
LANGUAGE_WORDS = {"en": "English", "de": "Deutsch"}

# What the customer reads in the history of their choices. A channel that is not in here is named by its own word.
CONSENT_ACTION_WORDS = {
    ConsentAction.GIVEN: marked("you said yes"),
    ConsentAction.CONFIRMED: marked("you confirmed it yourself"),
    ConsentAction.WITHDRAWN: marked("no more"),
}
CONSENT_CHANNEL_WORDS = {
    ConsentChannel.FORM: marked("your page of choices"),
    ConsentChannel.IMPORT: marked("a list of the shop's"),
    ConsentChannel.UNSUBSCRIBE_PAGE: marked("the unsubscribe page"),
    ConsentChannel.ONE_CLICK: marked("your mail program's button"),
    ConsentChannel.OWNER: marked("the shop, for you"),
    ConsentChannel.SUBSCRIBE: marked("the link in a letter, after you had typed your address on the blog"),
}
# What an authority reads in the consent evidence; always in English.
EVIDENCE_CHANNEL_WORDS = {
    ConsentChannel.FORM: "the customer's own page of choices",
    ConsentChannel.IMPORT: "a list that the shop imported",
    ConsentChannel.UNSUBSCRIBE_PAGE: "the unsubscribe page",
    ConsentChannel.ONE_CLICK: "the button of a mail program (RFC 8058)",
    ConsentChannel.COMPLAINT: "a complaint that a mail provider passed on",
    ConsentChannel.OWNER: "the shop, for the customer",
    ConsentChannel.ERASURE: "erasing the customer",
    ConsentChannel.RESTORE: "carrying a later no over to a restored backup",
    ConsentChannel.SUBSCRIBE: "the form on the blog, confirmed by a link that was mailed to the address",
}
