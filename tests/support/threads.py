"""The place of the tests' blog, as the thread renderer is given it."""

from zoneinfo import ZoneInfo

from feedback_app.comments.threads.renderer import SiteInfo

PLACE = SiteInfo("https://socks.example", "Mongrel Socks", ZoneInfo("America/New_York"))
