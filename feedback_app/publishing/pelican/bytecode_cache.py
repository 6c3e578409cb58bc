"""What Jinja made of the theme's templates, kept on the shelf: a small build is done in the time that compiling takes.

What stands fixed in a template is worked out when it is compiled, the name of a style with its fingerprint say. So this
is forgotten with all else when the theme, the configuration or the program is another; Jinja itself sees that a
template's own text has changed.
"""

from jinja2.bccache import Bucket, BytecodeCache

from feedback_app.publishing.incremental.cache import BuildCache


class CompiledTemplates(BytecodeCache):
    """Jinja's way to the shelf."""

    def __init__(self, shelf: BuildCache) -> None:
        """For one site."""
        self.shelf = shelf

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fetch a template's code, if it is there."""
        code = self.shelf.template(bucket.key)
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it. Children of a build leave that to a build that needs none: there is one writer at a time."""
        if not self.shelf.is_childs:
            self.shelf.keep_template(bucket.key, bucket.bytecode_to_string())
