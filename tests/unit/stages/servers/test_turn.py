"""One benchmark at a time, and a sentence for who has to wait."""

import subprocess
import sys
from pathlib import Path

from stages.servers.turn import NAME, our_turn

HOLDER = """
import sys
from pathlib import Path
from stages.servers.turn import our_turn
with our_turn(print, Path(sys.argv[1])):
    print("mine", flush=True)
    input()
"""


def holding(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that has the turn; it ends when its input does."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    return holder


def test_alone_nobody_waits(tmp_path: Path) -> None:
    said: list[str] = []
    with our_turn(said.append, tmp_path) as doubts:
        assert doubts == ()
    with our_turn(said.append, tmp_path) as doubts:
        assert doubts == ()
    assert said == []


def test_who_comes_second_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    with holding(tmp_path) as holder:

        def say(line: str) -> None:
            said.append(line)
            holder.kill()  # its lock is free however it ends

        with our_turn(say, tmp_path) as doubts:
            assert doubts == ()
    assert said[0].startswith("waiting for another benchmark on this machine")


def test_who_has_waited_long_enough_measures_with_a_doubt(tmp_path: Path) -> None:
    with holding(tmp_path) as holder:
        with our_turn(lambda _: None, tmp_path, longest_wait_s=0.1) as doubts:
            assert "both ran at the same time" in doubts[0]
        holder.kill()


def test_a_file_that_cannot_be_opened_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to("elsewhere")
    with our_turn(print, tmp_path) as doubts:
        assert doubts == ()
    assert not (tmp_path / "elsewhere").exists()
