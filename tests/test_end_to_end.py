"""End to end, in a real browser, against the real server and a real mail server."""

import re
from email import message_from_bytes, policy

from playwright.sync_api import Page, expect

from tests.support.shop import Shop, wait_for
from tests.support.smtp import MailServer


def link_in(data: bytes, start: str) -> str:
    """Return the first link of a letter's text that starts with a prefix."""
    message = message_from_bytes(data, policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    found = re.search(re.escape(start) + r"\S+", body.get_content())
    assert found, f"no link {start}"
    return found.group()


def test_nora_sees_her_comment_once_the_shop_has_approved_it(page: Page, shop: Shop) -> None:
    with shop.serving():
        page.goto(shop.url)
        page.get_by_role("link", name="Opps!", exact=True).first.click()
        expect(page.get_by_role("heading", name="Wednesday, October 10, 2007")).to_be_visible()
        expect(page.get_by_role("heading", name="0 Comments")).to_be_visible()
        page.get_by_role("link", name="Post a Comment").click()
        page.get_by_label("Your name").fill("Nora")
        page.get_by_label("Your comment").fill("Use **Bcc**, friends.")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator(".preview strong", has_text="Bcc")).to_be_visible()
        page.get_by_role("button", name="Post").click()
        expect(page.get_by_role("status")).to_contain_text("waits for approval")
        assert "Nora" not in shop.get("/2007/10/opps.html")
        [waiting] = shop.json("comments", "list", "--status", "pending")
        assert (waiting["author"], waiting["post"]) == ("Nora", "/2007/10/opps.html")
        shop.run("comments", "approve", str(waiting["id"]))
        page.goto(f"{shop.url}/2007/10/opps.html")
        expect(page.get_by_role("heading", name="1 Comment")).to_be_visible()
        expect(page.locator(f"#comment-{waiting['id']}")).to_contain_text("Use Bcc, friends.")
        page.goto(shop.url)
        expect(page.get_by_role("link", name="1 Comment")).to_have_count(1)
        live = shop.files()
    shop.run("build", "--full")
    assert shop.files() == live


def test_tess_subscribes_gets_a_letter_and_unsubscribes_with_one_click(
    page: Page, shop: Shop, sink: MailServer
) -> None:
    mailing = shop.folder / "content" / "mailings" / "free-socks.md"
    with shop.serving(smtp_url=sink.url):
        page.goto(f"{shop.url}/feedback/preferences")
        page.get_by_label("Your e-mail address").fill("tess@example.com")
        page.get_by_role("button", name="Mail me a link").click()
        expect(page.get_by_role("status")).to_contain_text("on its way")
        wait_for(lambda: sink.letters, "the letter with the link")
        assert shop.json("audience", "specials") == []
        page.goto(link_in(sink.letters[0].data, f"{shop.url}/feedback/preferences/"))
        page.get_by_role("group", name="Offers").get_by_label("Each time").check()
        page.get_by_role("button", name="Save my choices").click()
        expect(page.get_by_role("status")).to_contain_text("saved")
        assert shop.json("audience", "specials") == [{"address": "tess@example.com", "name": None}]
        shop.run("mail", "send", str(mailing), "--hold", "0", "--wait", smtp_url=sink.url)
        assert sink.recipients() == ["tess@example.com", "tess@example.com"]
        page.goto(link_in(sink.letters[1].data, f"{shop.url}/feedback/unsubscribe/"))
        expect(page.locator(".masked")).to_have_text("t…@e…")
        page.get_by_role("button", name="Stop these letters").click()
        expect(page.get_by_role("status")).to_contain_text("no more letters")
        again = shop.folder / "again.md"
        again.write_text(mailing.read_text(encoding="utf-8").replace("free-socks", "again"), encoding="utf-8")
        shop.run("mail", "send", str(again), "--hold", "0", "--wait", smtp_url=sink.url)
    assert shop.json("audience", "specials") == []
    assert len(sink.letters) == 2
