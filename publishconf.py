"""How the blog is built for the public, by `undisclosed publish`: everything of `pelicanconf.py`, and this."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pelicanconf import *  # noqa: F403 - Pelican's own way; what is here comes after

# The public address, if the instance's settings (`site_url`) do not say it.
SITEURL = ""
# Beside every page, style and feed the same in gzip, for web servers that can hand it out as it is.
PRECOMPRESS = True
# Who takes the built site to where it is served, word by word and without a shell; {output} is its folder. Nobody, or
# "rsync", "--archive", "--delete-delay", "--delay-updates", "{output}/", "socks.example:site/", say.
PUBLISH_COMMAND: list[str] = []
