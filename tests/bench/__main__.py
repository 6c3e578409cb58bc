"""`make bench`: every measurement, or those named: `python -m tests.bench store`."""

import sys

from tests.bench import comments, following, mailer, publishing, store

BENCHES = {
    "store": store.main,
    "mailer": mailer.main,
    "mailer-large": mailer.large,
    "comments": comments.main,
    "following": following.main,
    "publishing": publishing.main,
}


def main() -> None:
    """Run them."""
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main()
