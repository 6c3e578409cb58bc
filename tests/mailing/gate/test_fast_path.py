"""The gate's fast path: the full check passes whatever it answers for."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.customers.topics import Topic
from feedback_app.mailing.gate import check
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.fast_path import CheckedTemplate, NotPlain, check_template
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.gate.template import LetterTemplate, Slot, SlotValues
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.mailings.source import MailingSource
from tests.support.mailings import FREE_SOCKS, letter_context

SHOP = "hello@socks.example"
ALICE, BOB = "alice@x.example", "bob@y.example"
OPPS_DAY = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)
VALUES = {
    Slot.TO: ALICE,
    Slot.DATE: "Wed, 10 Oct 2007 13:41:00 +0000",
    Slot.MESSAGE_ID: "<0123456789abcdef0123456789abcdef@socks.example>",
    Slot.UNSUBSCRIBE: "Zm9v_-" * 6 + "abcd",
    Slot.PREFERENCES: "_-Zm9v" * 6 + "abcd",
    Slot.NAME: "Alice",
    Slot.NAME_IN_HTML: "Alice",
}


def template(
    text: str = "Hello =\r\nNAME=\r\n, free socks: https://socks.example/u/=\r\nUNSUBSCRIBE=\r\n\r\n", **changes: str
) -> LetterTemplate:
    """Return a template of one part, with a slot for each slot's name in capitals."""
    head = {
        "From": SHOP,
        "To": "TO",
        "Subject": "Free socks",
        "Message-ID": "MESSAGE_ID",
        "List-Unsubscribe": "<https://socks.example/u/UNSUBSCRIBE>",
        "Date": "DATE",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    whole = "".join(f"{name}: {value}\r\n" for name, value in head.items()) + "\r\n" + text
    for slot in sorted(Slot, key=lambda slot: -len(slot.name)):
        whole = whole.replace(slot.name, slot.gap)
    return LetterTemplate.of(whole)


def letter(of: LetterTemplate, **values: str) -> bytes:
    """Return a letter of a template."""
    return of.fill(SlotValues(**{slot: values.get(slot, VALUES[slot]).encode() for slot in Slot}))


def checked(one: LetterTemplate) -> CheckedTemplate:
    """Return a template that has passed the full check."""
    found = check_template(one, sender=SHOP, own=[SHOP])
    assert found is not None
    return found


def answers(one: CheckedTemplate, data: bytes, recipient: str = ALICE) -> bool:
    """Return whether the fast path answers for a letter; if so, the full check must pass it, too."""
    answered = one.answers_for(data, sender=SHOP, recipient=recipient, own=[SHOP])
    if answered:
        check.check(data, sender=SHOP, recipient=recipient, own=[SHOP])
    return answered


PLAIN_NAMES = ["Alice", "Alice Adams", "J. R. O'Brien", "Anne-Marie", "Ægir Þór", "Зоя", "花子", "Henry Jr."]


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_letters_to_people_with_plain_names_need_no_full_check(name: str) -> None:
    maker = MailingLetters(letter_context(), FREE_SOCKS, 1)
    full_checks: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        maker.letter(Person(1, BOB, None), LetterFormat.HTML, now=OPPS_DAY)
        patch.setattr(check, "check", lambda data, **_: full_checks.append(data))
        for form in (LetterFormat.HTML, LetterFormat.HTML):
            maker.letter(Person(2, ALICE, name), form, now=OPPS_DAY)
    assert not full_checks


@pytest.mark.parametrize(
    "name", ["4 socks", "a@b", "=?utf-8?q?x?=", "Alice <b@y.example>", "x" * 16, "Alice\u200b", "½"]
)
def test_a_letter_with_a_name_that_is_not_plain_gets_the_full_check(name: str) -> None:
    one = checked(template())
    quoted = mime.encode_slot_value(name).decode()
    encoded = base64.b64encode(name.encode()).decode()
    assert not answers(one, letter(template(), name=name))
    assert not answers(one, letter(template(), name=quoted))
    assert not answers(one, letter(template(), to=f'"{name}" <{ALICE}>'))
    assert not answers(one, letter(template(), to=f"=?utf-8?B?{encoded}?=\r\n <{ALICE}>"))


def test_a_checked_template_that_is_filled_wrongly_gets_nothing_past_the_gate() -> None:
    """The gate reads a letter's own bytes, never the values that made them."""
    maker = MailingLetters(letter_context(), FREE_SOCKS, 1)
    fill = LetterTemplate.fill

    def fill_and_add_bob(one: LetterTemplate, values: SlotValues) -> bytes:
        return fill(one, values).replace(b"</body>", f"{BOB}</body>".encode())

    with pytest.MonkeyPatch.context() as patch:
        maker.letter(Person(1, ALICE, "Alice"), LetterFormat.HTML, now=OPPS_DAY)
        patch.setattr(LetterTemplate, "fill", fill_and_add_bob)
        with pytest.raises(GateRefused, match="shows an address"):
            maker.letter(Person(2, ALICE, "Alice"), LetterFormat.HTML, now=OPPS_DAY)


def test_a_letter_whose_to_differs_from_its_envelope_gets_the_full_check() -> None:
    one = checked(template())
    assert answers(one, letter(template()))
    assert not answers(one, letter(template()), recipient=BOB)
    assert not answers(one, letter(template(), to=f"{ALICE}, {BOB}"))
    assert not answers(one, letter(template(), to=f"{ALICE}\r\nBcc: {BOB}"))


@pytest.mark.parametrize(
    ("change", "to"),
    [
        (b"Subject: Free socks", b"Subject: Free  socks"),
        (b"Subject: Free socks\r\n", b"Subject: Free socks\r\nBcc: bob@y.example\r\n"),
        (b"free socks:", b"bob@y.example:"),
        (b"UNSUBSCRIBE", b"UNSUBSCRIBe"),
        (b"\r\n\r\n", b"\r\nCc: bob@y.example\r\n\r\n"),
    ],
)
def test_a_letter_that_differs_outside_its_slots_gets_the_full_check(change: bytes, to: bytes) -> None:
    one = template(text="Hello UNSUBSCRIBE=\r\n free socks: gone\r\n".replace("UNSUBSCRIBE", "unsubscribers"))
    data = letter(one)
    changed = data.replace(change, to) if change in data else data + to
    assert answers(checked(one), data)
    assert not answers(checked(one), changed)


def test_two_different_tokens_in_one_slot_get_the_full_check() -> None:
    data = letter(template())
    token = VALUES[Slot.UNSUBSCRIBE].encode()
    assert not answers(checked(template()), data.replace(token, b"0" * 40, 1))


def test_a_token_that_reads_as_base64_of_a_text_gets_the_full_check() -> None:
    said = base64.b64encode(b"write to bob@y.example please!").decode()
    assert len(said) == len(VALUES[Slot.UNSUBSCRIBE])
    assert not answers(checked(template()), letter(template(), unsubscribe=said))


@pytest.mark.parametrize(
    "text",
    [
        "Hello =\r\nNAME=\r\n@socks.example\r\n",
        "Hello hello@=\r\nNAME=\r\n.example\r\n",
        "Hello &=\r\nNAME=\r\n;\r\n",
        "Hello %=\r\nNAME=\r\n\r\n",
        "Hello x=\r\nNAME=\r\n\r\n",
        "Hello <b>=\r\nNAME=\r\n</b>x\r\n",
        "Hello &<b>=\r\nNAME=\r\n</b>;\r\n",
        "Hello NAME=\r\n\r\n",
        "Hello =\r\nNAME\r\n",
        "See =\r\nUNSUBSCRIBE=\r\n\r\n",
        "See https://x.example/=\r\nUNSUBSCRIBE=\r\nx\r\n",
        "See https://x.example/Ym9i=\r\nUNSUBSCRIBE=\r\n\r\n",
        "To: =\r\nTO=\r\n\r\n",
    ],
)
def test_a_template_whose_slots_touch_the_text_around_is_refused(text: str) -> None:
    assert check_template(template(text), sender=SHOP, own=[SHOP]) is None


@pytest.mark.parametrize(
    "head",
    [
        {"Subject": "Hello NAME"},
        {"From": "TO"},
        {"To": f"{BOB}, TO"},
        {"To": "TO, TO"},
        {"Bcc": "TO"},
        {"List_Unsubscribe": "<https://socks.example/u?UNSUBSCRIBE>"},
        {"Reply_To": BOB},
    ],
)
def test_a_template_with_a_slot_in_the_wrong_header_is_refused(head: dict[str, str]) -> None:
    with pytest.raises((NotPlain, GateRefused)):
        CheckedTemplate(template(**head), sender=SHOP, own=[SHOP])


snippets = st.sampled_from([
    "{{ name }}", "{{ preferences_link }}", "{{ unsubscribe_link }}", " ", "\n\n", "@", "%", "&", ";", ".", "x", "40",
    "bob", "socks.example", SHOP, "hello@", "**", "[a](", ")", "<b>", "</b>", "=", "_", "-", "/", '"', "'", "\u2019",
    "é", "\uff20", "&commat;", "%40", "Ym9iQHkuZXhhbXBsZSBpcyBib2I",
])  # fmt: skip
bodies = st.lists(st.one_of(st.just(" {{ name }}, "), st.just(" and "), snippets), max_size=8).map("".join)
hostile = st.one_of(
    st.sampled_from(
        [*PLAIN_NAMES, "a@b.example", "commat", "0", "40", "ab", "&", "%40", "@", "=?utf-8?q?a?=", "x" * 15]
    ),
    st.text(max_size=20),
    st.lists(st.sampled_from(["Al", "@", ".", "&", ";", "%", "4", "0", " ", "-", "'", "é", "\uff20"]), max_size=6).map(
        "".join
    ),
)


def _token(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


made_up = st.fixed_dictionaries(
    {},
    optional={
        "name": hostile,
        "name_in_html": hostile,
        "to": st.one_of(
            st.just(f"{ALICE}, {BOB}"),
            hostile,
            hostile.map(lambda name: f'"{name}" <{ALICE}>'),
            hostile.map(lambda name: f"=?utf-8?B?{base64.b64encode(name.encode()).decode()}?=\r\n <{ALICE}>"),
        ),
        "unsubscribe": st.one_of(hostile, st.binary(min_size=30, max_size=30).map(_token)),
        "preferences": st.one_of(
            hostile, st.text("abc@.x ", min_size=30, max_size=30).map(lambda text: _token(text.encode()))
        ),
        "message_id": hostile,
        "date": hostile,
    },
)


@settings(deadline=None)
@given(
    body=bodies,
    nameless=hostile,
    values=made_up,
    form=st.sampled_from(LetterFormat),
)
@example(body="{{ name }}@socks.example", nameless="hello", values={"name": "Ada"}, form=LetterFormat.TEXT)
@example(body="x&{{ name }};socks.example", nameless="friend", values={"name": "commat"}, form=LetterFormat.TEXT)
def test_the_full_check_passes_whatever_is_answered_for(
    body: str, nameless: str, values: dict[str, str], form: LetterFormat
) -> None:
    one = MailingLetters(
        letter_context(mail_from=SHOP), MailingSource("x", Topic.SPECIALS, "Free socks", nameless, body), 1
    ).template(form)
    found = check_template(one, sender=SHOP, own=[SHOP])
    if found is None:
        return
    quoted = {
        name: mime.encode_slot_value(value).decode() if "name" in name else value for name, value in values.items()
    }
    answers(found, letter(one, **quoted))


@settings(deadline=None)
@given(
    place=st.integers(0, 2000),
    length=st.integers(0, 8),
    instead=st.one_of(hostile.map(str.encode), st.binary(max_size=8)),
)
def test_the_full_check_passes_what_is_answered_for_of_changed_bytes(place: int, length: int, instead: bytes) -> None:
    data = letter(template())
    place %= len(data)
    answers(checked(template()), data[:place] + instead + data[place + length :])


def test_a_checked_template_makes_no_letter_that_the_full_check_refuses() -> None:
    for data in (
        letter(template(), to=f"{ALICE}\r\nBcc: {BOB}"),
        letter(template()).replace(b"free", b"bob@y.example"),
    ):
        with pytest.raises(GateRefused):
            Letter(SHOP, ALICE, "<x@socks.example>", data, [SHOP], checked_template=checked(template()))


def test_a_template_checked_for_one_shop_answers_for_no_other() -> None:
    one, data = checked(template()), letter(template())
    assert not one.answers_for(data, sender=BOB, recipient=ALICE, own=[SHOP])
    assert not one.answers_for(data, sender=SHOP, recipient=ALICE, own=[])


def test_a_change_of_the_same_length_gets_the_full_check() -> None:
    data = letter(template()).replace(b"Free socks", b"bob@yy.com")
    assert not checked(template()).answers_for(data, sender=SHOP, recipient=ALICE, own=[SHOP])


def test_two_recipients_on_the_envelope_get_the_full_check() -> None:
    two = f"{ALICE}, {BOB}"
    assert not checked(template()).answers_for(letter(template(), to=two), sender=SHOP, recipient=two, own=[SHOP])


@pytest.mark.parametrize("slot", [Slot.DATE, Slot.MESSAGE_ID, Slot.PREFERENCES, Slot.UNSUBSCRIBE])
def test_a_value_that_goes_on_in_another_header_gets_the_full_check(slot: Slot) -> None:
    one = template("See https://socks.example/p/=\r\nPREFERENCES=\r\n\r\n")
    assert answers(checked(one), letter(one))
    data = letter(one, **{slot.value: f"{VALUES[slot]}\r\nBcc: {BOB}"})
    assert not checked(one).answers_for(data, sender=SHOP, recipient=ALICE, own=[SHOP])


def test_base64_behind_its_padding_gets_the_full_check_and_is_refused() -> None:
    data = letter(template(), to=f"=?utf-8?B?QWxpY2U=Ym9iQHkuZXhhbXBsZQ==?=\r\n <{ALICE}>")
    assert not answers(checked(template()), data)
    with pytest.raises(GateRefused):
        check.check(data, sender=SHOP, recipient=ALICE, own=[SHOP])


@pytest.mark.parametrize("name", ["bob=40y=2Eexample", "A=\r\n.B", "=59m9iQHkuZXhhbXBsZQ=", "A= B"])
def test_a_name_in_disguise_gets_the_full_check(name: str) -> None:
    data = letter(template(), name=name)
    assert not checked(template()).answers_for(data, sender=SHOP, recipient=ALICE, own=[SHOP])


def test_a_token_of_an_odd_length_gets_the_full_check() -> None:
    assert not answers(checked(template()), letter(template(), unsubscribe="Zm9v_-" * 7))


@pytest.mark.parametrize(
    "head",
    [{"Subject": "DATE"}, {"Subject": "=?utf-8?q?bob=40y.example TO"}, {"Date": "DATE x"}, {"Subject": "MESSAGE_ID"}],
)
def test_a_template_with_a_slot_outside_its_own_header_is_refused(head: dict[str, str]) -> None:
    assert check_template(template(**head), sender=SHOP, own=[SHOP]) is None


@pytest.mark.parametrize(
    "text",
    ["x@=\r\nNAME=\r\n\r\n", "x@=E2=80=98=\r\nNAME=\r\n hi\r\n", "%3C(NAME)> bob%" + "25" * 41 + "40y.example\r\n"],
)
def test_a_name_after_an_at_or_in_too_many_readings_is_refused(text: str) -> None:
    assert check_template(template(text.replace("(NAME)", "=\r\nNAME=\r\n")), sender=SHOP, own=[SHOP]) is None


def test_a_signed_letter_of_a_checked_template_needs_no_full_check() -> None:
    signature = (
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=socks.example; s=undisclosed; t=1192023660;\r\n"
        b" h=from:to:subject; bh=" + b"A" * 43 + b"=;\r\n b=" + b"A" * 88 + b"\r\n"
    )
    one, data = checked(template()), letter(template())
    assert answers(one, signature + data)
    assert answers(one, signature * 2 + data)
    others = (
        signature * 3,
        b"DKIM-Signature: \xff\r\n",
        signature + b"X: y\r\n",
        signature.replace(b"AAA", b"A" * 999, 1),
        b"DKIM-Signature: bob@y.example\r\n",
    )
    for head in others:
        assert not answers(one, head + data)


def test_only_unchangeable_bytes_are_a_letter() -> None:
    with pytest.raises(GateRefused):
        Letter(SHOP, ALICE, "<x@socks.example>", bytearray(letter(template())), [SHOP])  # type: ignore[arg-type]


def test_slot_values_are_in_the_order_of_the_slots() -> None:
    assert SlotValues._fields == tuple(Slot)
