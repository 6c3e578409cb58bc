"""The command `undisclosed` as a shell calls it; `python -m feedback_app` is the same."""

import gc

# What a command imports stays: looking through it for what could go takes a twentieth of a small build.
gc.set_threshold(50_000)

from feedback_app import cli  # noqa: E402 - importing is what takes the time


def main() -> None:
    """Run the command."""
    try:
        cli.main()
    finally:
        # All goes with the process: a last look through ten thousand posts takes as long as a quarter of a small build.
        gc.freeze()


if __name__ == "__main__":
    main()
