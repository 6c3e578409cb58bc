"""`python -m feedback_app`: the same as the command `undisclosed`."""

from feedback_app.cli import main

if __name__ == "__main__":
    main()
