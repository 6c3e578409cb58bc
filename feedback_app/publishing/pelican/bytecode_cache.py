"""Jinja's bytecode of the theme's templates, in the build cache: compiling them takes as long as a small build.

Jinja computes a template's constant parts when it compiles it, a style's name with its fingerprint for instance. So the
bytecode is forgotten with everything else when theme, configuration or program change. That a template's own text has
changed is what Jinja itself notices.
"""

from jinja2.bccache import Bucket, BytecodeCache

from feedback_app.publishing.incremental import BuildCache


class TemplateBytecode(BytecodeCache):
    """Jinja's bytecode cache of one site."""

    def __init__(self, cache: BuildCache) -> None:
        """Take the site's build cache."""
        self.cache = cache

    def load_bytecode(self, bucket: Bucket) -> None:
        """Load a template's bytecode, if it is saved."""
        code = self.cache.compiled_template(bucket.key)
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Save a template's bytecode, but not in a child: the cache has one writer at a time."""
        if not self.cache.in_child:
            self.cache.save_compiled_template(bucket.key, bucket.bytecode_to_string())
