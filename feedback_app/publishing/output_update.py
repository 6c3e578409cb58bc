"""The end of a build: the output takes over what is in the stage, and the build cache remembers it."""

from pathlib import Path

from feedback_app import clock
from feedback_app.publishing.files.assets import lasting
from feedback_app.publishing.files.gzip import ENDING, compressed, worth_it
from feedback_app.publishing.files.swap import place_together, swap
from feedback_app.publishing.files.write import Output, WriteCounts, files_below, place
from feedback_app.publishing.incremental import MIN_PARALLEL_FILES, cpu_count, run_in_processes, save_site_info
from feedback_app.publishing.live.update import rewrite
from feedback_app.publishing.pelican.build import Build
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.render.fragments import counted

# A file in the output that tells a built site from a folder in which a build may not remove anything.
MARK = ".undisclosed-site"
# Folders of the output that builds leave alone.
NOT_BUILT = ("pagefind",)
# A compressed file's key where its original has none.
_NO_KEY = b"gz"


def update_output(
    build: Build, writer: KeyedWriter, stage: Path, outputs: dict[str, Output]
) -> tuple[WriteCounts, dict[str, Output]]:
    """Put the stage's files into the output and save them in the cache; returns what was written, and the new outputs.

    `outputs` is the site as it was; it is empty where the whole site is in the stage.
    """
    settings = build.settings
    _write_mark(stage)
    staged = list(files_below(stage))
    keys = {**writer.keys, **{name: writer.keys.get(name, b"") for name in staged}}
    compress = bool(writer.settings.get("PRECOMPRESS"))
    if compress:
        _compress(settings.output, stage, staged, keys, outputs)
    if outputs:
        unwanted = outputs.keys() - keys.keys()
        lasting_files = lasting(settings.instance, unwanted, now=clock.now())
        gone = sorted(unwanted - lasting_files)
        counts = _update_files(build, stage, staged, gone, outputs)
        counts.unchanged += len(keys) - len(staged)
    else:
        existing = files_below(settings.output) if settings.output.exists() else ()
        unwanted = {name for name in existing if name not in keys}
        lasting_files = lasting(settings.instance, unwanted, now=clock.now())
        gone = []
        counts = swap(stage, settings.output, NOT_BUILT, lasting_files)
    new = {name: _output(settings.output / name, keys[name]) for name in staged}
    pages = [name for name in staged if name.endswith(".html")]
    threads = {name: counted((settings.output / name).read_text(encoding="utf-8")) for name in pages}
    build.cache.save_outputs(new, gone, threads, writer.full_reads)
    build.cache.set_facts(compressed="yes" if compress else "")
    build.update_full_reads(writer.full_reads)
    kept = {name: output for name, output in outputs.items() if name in keys or name in lasting_files}
    return counts, kept | new


def _write_mark(stage: Path) -> None:
    stage.mkdir(parents=True, exist_ok=True)
    (stage / MARK).write_text("A built site: what is not of its last build is removed from here.\n", encoding="utf-8")


def _update_files(
    build: Build, stage: Path, staged: list[str], gone: list[str], outputs: dict[str, Output]
) -> WriteCounts:
    """Update the output file by file, or in one step where several pages come or go that link to each other."""
    output = build.settings.output
    added = [name for name in staged if name not in outputs]
    if any(sum(name.endswith(".html") for name in names) > 1 for names in (added, gone)):
        counts = place_together(stage, output, staged, gone)
        if counts is not None:
            return counts
    return place(stage, output, staged, gone, posts={path.lstrip("/") for path in build.posts})


def _compress(output: Path, stage: Path, staged: list[str], keys: dict[str, bytes], outputs: dict[str, Output]) -> None:
    """Write the compressed files of what is staged, and of files in the output that have lost theirs.

    The other compressed files stay; all are added to `keys`, the new ones to `staged`.
    """
    existing = {name: outputs.get(name + ENDING) for name in keys.keys() - set(staged)}
    todo = [(name, stage / name) for name in staged]
    todo += [(name, output / name) for name, beside in existing.items() if not (beside and beside.key)]
    todo = [(name, file) for name, file in todo if worth_it(file)]

    def compress(number: int, processes: int) -> int:
        for name, file in todo[number::processes]:
            beside = stage / (name + ENDING)
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(compressed(file.read_bytes()))
        return 0

    run_in_processes(compress, cpu_count() if len(todo) >= MIN_PARALLEL_FILES else 1)
    staged += [name + ENDING for name, _ in todo]
    keys |= {name + ENDING: keys[name] or _NO_KEY for name, _ in todo}
    keys |= {name + ENDING: beside.key for name, beside in existing.items() if beside and beside.key}


def _output(path: Path, key: bytes) -> Output:
    status = path.stat()
    return Output(key, status.st_mtime_ns, status.st_size, status.st_ino)


def save_build(build: Build) -> None:
    """Save the site's address and the new pieces of lists."""
    if build.site is not None:
        save_site_info(build.cache, build.site)
    if build.pieces.new:
        build.cache.save_pieces(build.pieces.new)


def update_threads(build: Build, stale: set[str]) -> None:
    """Save which threads the site shows now, and rewrite those that changed where their pages were not made anew."""
    cache, shown = build.cache, build.shown_threads
    # The store did not know a new post yet when the versions were read.
    now = {path: (build.thread_versions.get(path, 0), build.comment_counts.get(path, 0)) for path in build.posts}
    outdated = {path: build.thread_versions[path] for path in stale if path in shown and path in build.posts}
    cache.save_threads({path: new for path, new in now.items() if shown.get(path) != new and path not in outdated})
    cache.delete_threads(path for path in shown if path not in now)
    if outdated:
        with build.store.reading() as session:
            rewrite(build.settings, session, cache, outdated)
