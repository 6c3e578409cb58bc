"""Publishing: the only place that knows Pelican."""
