"""The code's own checks: style, types, direction of imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECKS = {
    "ruff finds nothing": [sys.executable, "-m", "ruff", "check"],
    "the code is formatted": [sys.executable, "-m", "ruff", "format", "--check"],
    "mypy, strict, finds nothing": [sys.executable, "-m", "mypy"],
    "imports go down only": [str(Path(sys.executable).parent / "lint-imports")],
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_passes_its_checks(check: str) -> None:
    done = subprocess.run(CHECKS[check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_requirements_file_names_a_registry() -> None:
    for path in ROOT.glob("requirements*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        # Hashes are the only option: no other source is named.
        assert set(re.findall(r"--[\w-]+", text)) == {"--hash"}
        assert "--hash=sha256:" in text
