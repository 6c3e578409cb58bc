"""How the blog is built. Your shop's name, words and links are in the first block; the rest is plumbing."""

# Make it yours -------------------------------------------------------------------------------------------------------
SITENAME = "Mongrel Socks"
SHOP_TAGLINE = "Odd socks for even-tempered people"
AUTHOR = "Mongrel Socks"
TIMEZONE = "America/New_York"
DEFAULT_LANG = "en"
POSTS_ON_HOME = 10
# Whether each page, style and feed lies beside itself in gzip, for a web server that hands it out as it is.
PRECOMPRESS = False
# Whom to tell of a flaw in the site (RFC 9116): a page, or mailto:…; renew the date before it comes.
SECURITY_CONTACT = "/about.html"
SECURITY_EXPIRES = "2027-10-01T00:00:00Z"

# Where things are ----------------------------------------------------------------------------------------------------
PATH = "content"
OUTPUT_PATH = "output"
THEME = "theme"
ARTICLE_PATHS = ["posts"]
PAGE_PATHS = ["pages"]
STATIC_PATHS = ["images"]
PLUGIN_PATHS = ["."]
PLUGINS = ["feedback_app.publishing.plugin"]

# Blogger's permalinks, so that an imported blog keeps its links ------------------------------------------------------
ARTICLE_URL = "{date:%Y}/{date:%m}/{slug}.html"
ARTICLE_SAVE_AS = ARTICLE_URL
PAGE_URL = "{slug}.html"
PAGE_SAVE_AS = PAGE_URL
TAG_URL = "label/{slug}.html"
TAG_SAVE_AS = TAG_URL
TAGS_SAVE_AS = ""
MONTH_ARCHIVE_URL = "{date:%Y}/{date:%m}/"
MONTH_ARCHIVE_SAVE_AS = "{date:%Y}/{date:%m}/index.html"
ARCHIVES_SAVE_AS = "archives.html"
CATEGORY_SAVE_AS = ""
CATEGORIES_SAVE_AS = ""
AUTHOR_SAVE_AS = ""
AUTHORS_SAVE_AS = ""
DRAFT_PAGE_SAVE_AS = ""
DIRECT_TEMPLATES = ["index", "archives", "404", "search"]
# A post whose date has not come waits for it.
WITH_FUTURE_DATES = False
# Pages of a list would move with every new post, and a label "sock" on page 2 would meet a label "sock2".
DEFAULT_PAGINATION = False
# A post in another language is a post of its own.
ARTICLE_TRANSLATION_ID = None
PAGE_TRANSLATION_ID = None

# Feeds (RFC 4287); the comments' feeds are written by the plugin -----------------------------------------------------
FEED_ALL_ATOM = "feeds/posts.atom.xml"
TAG_FEED_ATOM = "label/{slug}.atom.xml"
CATEGORY_FEED_ATOM = None
AUTHOR_FEED_ATOM = None
AUTHOR_FEED_RSS = None
TRANSLATION_FEED_ATOM = None
FEED_MAX_ITEMS = 25

# How text becomes pages ----------------------------------------------------------------------------------------------
LOCALE = ("C",)
DEFAULT_DATE_FORMAT = "%A, %B %-d, %Y"
DEFAULT_CATEGORY = "posts"
USE_FOLDER_AS_CATEGORY = False
JINJA_ENVIRONMENT = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
MARKDOWN = {
    "extension_configs": {
        "markdown.extensions.extra": {},
        "markdown.extensions.sane_lists": {},
        "markdown.extensions.smarty": {},
        # [[First Last]] is printed as Fxxxxx Lxxxxx.
        "feedback_app.publishing.masking": {},
    },
    "output_format": "html5",
}
DELETE_OUTPUT_DIRECTORY = False
LOAD_CONTENT_CACHE = False
