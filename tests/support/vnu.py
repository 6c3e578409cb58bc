"""The W3C's own checker of HTML (vnu): a Java program that npm carries."""

import shutil
import subprocess
import sys
from pathlib import Path

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
    npm = shutil.which("npm")
    if npm and shutil.which("java") and not JAR.exists():
        FOLDER.mkdir(exist_ok=True)
        # Its script would bring a Java of its own.
        quiet = ["--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
        subprocess.run([npm, "install", *quiet, "--prefix", str(FOLDER), PACKAGE], check=False)
