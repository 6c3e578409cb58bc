"""The recipes of CONTRIBUTING.md work as they stand there: each test follows one in a copy of the project."""
