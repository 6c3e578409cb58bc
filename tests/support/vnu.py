"""The W3C's own checker of HTML (vnu): a Java program that npm carries."""

import shutil
import sys
from pathlib import Path

from tests.support import npm

PACKAGE = "vnu-jar@26.9.27"
# In the environment, where nobody looks for programs of this project's own.
FOLDER = Path(sys.prefix) / "vnu"
JAR = FOLDER / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


def find_checker() -> list[str]:
    """The command that checks files, or nothing where it can't be had."""
    java = shutil.which("java")
    return [java, "-Xss2m", "-jar", str(JAR)] if java and JAR.exists() else []


def prepare_checker() -> None:
    """Bring it with npm, where Java is there and it is not."""
    if shutil.which("java") and not JAR.exists():
        npm.install(PACKAGE, FOLDER)
