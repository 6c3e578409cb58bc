"""The incremental build: what is remembered of the last build, and what decides whether everything is made anew.

The names below are the whole face of this package; its modules are its own business. docs/incremental-build.md says
how the build works. There is no Pelican here, so that a command which only rewrites a thread does not import it.
"""

from feedback_app.publishing.incremental.built_site import (
    forget_site,
    is_built,
    output_lock,
    read_site_info,
    save_site_info,
)
from feedback_app.publishing.incremental.cache import BuildCache
from feedback_app.publishing.incremental.process_pool import (
    MIN_PARALLEL_FILES,
    ChildDied,
    ChildFailed,
    cpu_count,
    run_in_processes,
)
from feedback_app.publishing.incremental.records import ListPiece, PostRecord, PostTexts
from feedback_app.publishing.incremental.site_fingerprint import THEME, plain_settings, program_fingerprint, site_key

__all__ = [
    "MIN_PARALLEL_FILES",
    "THEME",
    "BuildCache",
    "ChildDied",
    "ChildFailed",
    "ListPiece",
    "PostRecord",
    "PostTexts",
    "cpu_count",
    "forget_site",
    "is_built",
    "output_lock",
    "plain_settings",
    "program_fingerprint",
    "read_site_info",
    "run_in_processes",
    "save_site_info",
    "site_key",
]
