"""Whose data it is: export, erasing, retention, across all slices."""
