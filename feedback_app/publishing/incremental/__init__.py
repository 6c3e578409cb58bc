"""The incremental build: what is remembered of the last build, and how it is decided what must be made again.

The output is always the same as a full build's, byte for byte; docs/publishing.md says how. No Pelican in here but
what stands for its articles.
"""
