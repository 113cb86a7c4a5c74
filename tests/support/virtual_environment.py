"""Make the private virtual environment: runs under the machine's own Python, with nothing installed yet."""

import subprocess
import sys
import threading
import time
import venv
from pathlib import Path

TICK_S = 10.0
OLDEST = (3, 11)


def main() -> None:
    """Create or refresh the environment named on the command line from the hashed requirements."""
    if sys.version_info < OLDEST:
        sys.exit("Python 3.11 or newer is needed; name one, such as `make PYTHON=python3.12 test`")
    folder = Path(sys.argv[1])
    begin = time.monotonic()
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(begin, done), daemon=True)
    ticker.start()
    _install(folder)
    done.set()
    ticker.join()
    _say("done", begin)


def _install(folder: Path) -> None:
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    pip = [*command, "--no-compile"]  # half the time: Python compiles what is imported, when it is
    _run([*pip, "--require-hashes", "--requirement", "requirements-dev.txt"])
    _run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"`{' '.join(command)}` failed: can this machine reach its package index?")


def _tick(begin: float, done: threading.Event) -> None:
    wait_s = 2.0
    while not done.wait(wait_s):
        _say("...", begin)
        wait_s = TICK_S


def _say(word: str, begin: float) -> None:
    print(f"{word:>6} {time.monotonic() - begin:6.1f} s  virtual environment", flush=True)


if __name__ == "__main__":
    main()
