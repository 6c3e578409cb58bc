"""The web app: every route, and what a browser makes of it."""
