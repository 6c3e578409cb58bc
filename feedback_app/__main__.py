"""The command `undisclosed` as a shell calls it; `python -m feedback_app` is the same."""

import gc

# What a command imports, and a build reads, stays: looking through it for what could go takes a tenth of a small build.
gc.set_threshold(50_000)

from feedback_app.cli import main  # noqa: E402 - importing is what takes the time

if __name__ == "__main__":
    main()
