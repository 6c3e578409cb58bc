"""Programs that npm carries, each in a folder of its own."""

import shutil
import subprocess
from pathlib import Path


def install(package: str, folder: Path) -> bool:
    """Bring a package, and say whether it is there: `package` is its name, `@` and the version.

    No script of a package runs: what it would bring by itself, a Java or a browser of its own, nobody has looked at.
    """
    npm = shutil.which("npm")
    if not npm:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    quiet = ["--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
    done = subprocess.run(
        [npm, "install", *quiet, "--prefix", str(folder), package], stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0
