#!/usr/bin/env python3
"""From a fresh clone to a running demo or a verdict on the tests, with Python's standard library alone.

    python3 dev.py demo     start everything and print where to click
    python3 dev.py test     everything that has to pass: style, types, tests, tests in a browser
    python3 dev.py check    style and types only

It makes .venv, installs into it when pyproject.toml changed, and prints each command before it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "installed.txt"
"""What the environment was installed from: a digest, then "demo" or "test" (which includes the former)."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 (whoever has an older one runs this file first)
        return stop(f"this needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("demo", help="start everything; what follows is handed to `chatgateway demo`", add_help=False)
    test = verbs.add_parser("test", help="run everything that has to pass")
    test.add_argument("--tier", choices=["quick"], default="quick", help="how much to run (default: quick)")
    verbs.add_parser("check", help="check style and types")
    chosen, rest = parser.parse_known_args()
    if rest and chosen.verb != "demo":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    os.chdir(ROOT)
    if not install("demo" if chosen.verb == "demo" else "test"):
        return 1
    if chosen.verb == "demo":
        say([".venv/bin/chatgateway", "demo", *rest])
        os.execv(BIN / "chatgateway", [str(BIN / "chatgateway"), "demo", *rest])
    return verdict(checks() + (tests() if chosen.verb == "test" else []))


def install(purpose: str) -> bool:
    """Make .venv hold what ``purpose`` needs; return whether it does. Does nothing when it already did."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
    known = STAMP.read_text().split() if STAMP.exists() else []
    if known[:1] == [digest] and (purpose in known or "test" in known):
        return True
    if not (BIN / "python").exists() or not works([BIN / "python", "-m", "pip", "--version"]):
        if not can_make_environments():
            return False
        if not run([sys.executable, "-m", "venv", "--clear", VENV]):
            return False
    wanted = ".[test]" if purpose == "test" or "test" in known else "."
    if not run([BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", wanted]):
        return False
    STAMP.write_text(f"{digest} {'test' if 'test' in wanted else 'demo'}\n")
    return True


def can_make_environments() -> bool:
    """Debian's Python comes without ensurepip; its package python3-venv brings it."""
    if works([sys.executable, "-c", "import ensurepip, venv"]):
        return True
    distributed = sys.executable.startswith("/usr/bin/") and may_apt()
    if distributed and apt("python3-venv") and works([sys.executable, "-c", "import ensurepip, venv"]):
        return True
    stop("this Python cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv")
    return False


def checks() -> list[tuple[str, bool]]:
    return [
        ("ruff check", run([BIN / "ruff", "check"])),
        ("ruff format", run([BIN / "ruff", "format", "--check"])),
        ("pyright", run([BIN / "pyright"])),
    ]


def tests() -> list[tuple[str, bool]]:
    """The browser tests are a run of their own: their driver and the tests' event loop do not share a process."""
    # The token server in PHP is run where there is PHP; tests/tokens/conftest.py says aloud when there is none.
    if shutil.which("php") is None and may_apt():
        apt("php-cli")
    done = [("pytest", run([BIN / "python", "-m", "pytest", "-m", "not browser"]))]
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None and may_apt() and apt("chromium"):
        browser = shutil.which("chromium")
    if browser is not None:
        return [*done, ("pytest in a browser", run([BIN / "python", "-m", "pytest", "-m", "browser", "tests/web"]))]
    print("\nNOT RUN: the browser tests (tests/web), because there is no Chromium here.")
    print("To run them: apt-get install chromium, then python3 dev.py test", flush=True)
    # What nobody sees being left out must not pass.
    return [*done, ("pytest in a browser: no Chromium", False)] if os.environ.get("CI") else done


def verdict(steps: list[tuple[str, bool]]) -> int:
    failed = [name for name, passed in steps if not passed]
    return stop(f"failed: {', '.join(failed)}") if failed else 0


def may_apt() -> bool:
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def apt(package: str) -> bool:
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run([*quiet, "update"])
    return run([*quiet, "install", "-y", "--no-install-recommends", package])


def run(command: list[str | Path]) -> bool:
    """Print the command, run it, and return whether it succeeded."""
    say(command)
    return subprocess.run([str(part) for part in command], check=False).returncode == 0


def works(command: list[str | Path]) -> bool:
    return subprocess.run([str(part) for part in command], check=False, capture_output=True).returncode == 0


def say(command: list[str | Path]) -> None:
    parts = [str(part) for part in command]
    print("$ " + shlex.join(part.replace(f"{ROOT}/", "") for part in parts), flush=True)


def stop(sentence: str) -> int:
    print(f"dev.py: {sentence}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
