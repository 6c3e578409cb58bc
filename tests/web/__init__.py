"""Tests of the web app: every route, and the pages in a browser."""
