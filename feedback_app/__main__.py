"""The command `undisclosed` as a shell calls it; `python -m feedback_app` is the same."""

from feedback_app import cli


def main() -> None:
    """Run the command."""
    cli.main()


if __name__ == "__main__":
    main()
