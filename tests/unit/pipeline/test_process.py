import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import psutil
import pytest

from pipeline.errors import DiskFull, StageFailed, ToolMissing
from pipeline.process import Command, children, run, stop_descendants, uninterrupted


def python(code: str, **options: object) -> Command:
    return Command(arguments=(sys.executable, "-c", code), **options)  # type: ignore[arg-type]


def ends(pid: int) -> bool:
    """Tell whether a process that was killed is gone, or is only waiting for its parent to notice."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_an_outcome_says_everything() -> None:
    outcome = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out\n", "err\n")
    assert not outcome.succeeded


def test_much_output_on_both_streams_does_not_hang() -> None:
    code = (
        "import sys\n"
        "for _ in range(20000):\n"
        "    sys.stderr.write('e' * 99 + '\\n')\n"
        "    sys.stdout.write('o' * 99 + '\\n')\n"
    )
    outcome = run(python(code))
    assert len(outcome.stdout) == len(outcome.stderr) == 2_000_000


def test_standard_input_and_environment_reach_the_child() -> None:
    code = "import os, sys; print(sys.stdin.read(), os.environ['WORD'], os.environ.get('GONE'))"
    os.environ["GONE"] = "here"
    try:
        outcome = run(python(code, stdin="secret", environment={"WORD": "x", "GONE": None}))
    finally:
        del os.environ["GONE"]
    assert outcome.stdout == "secret x None\n"


def test_a_child_that_does_not_read_its_input_is_no_error() -> None:
    assert run(python("pass", stdin="x" * 1_000_000)).succeeded


def test_a_command_that_takes_too_long_is_stopped_with_all_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    outcome = run(python(code, timeout_s=1.5))
    assert outcome.timed_out
    assert not outcome.succeeded
    assert ends(int(outcome.stdout))


def test_a_missing_program_is_a_missing_tool() -> None:
    with pytest.raises(ToolMissing, match="no program called 'no-such-program'"):
        run(Command(arguments=("no-such-program",)))


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="does not exist"):
        run(Command(arguments=(sys.executable,), cwd=tmp_path / "gone"))


def test_every_line_is_passed_on_while_it_is_written() -> None:
    seen: list[tuple[str, str]] = []
    run(python("print('a'); print('b')"), lambda stream, line: seen.append((stream, line)))
    assert seen == [("stdout", "a"), ("stdout", "b")]


def test_interruption_ends_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    child_code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys\n"
        "from pipeline.process import Command, run\n"
        f"run(Command(arguments=(sys.executable, '-c', {child_code!r})))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as parent:
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.02)
        parent.send_signal(signal.SIGINT)
        parent.wait(20)
    assert ends(int(mark.read_text()))


def test_what_a_command_leaves_running_does_not_hold_it_up() -> None:
    outcome = run(Command(arguments=("sh", "-c", "sleep 60 & echo $!; exit 0"), timeout_s=30))
    assert outcome.succeeded
    assert outcome.duration_s < 20
    assert ends(int(outcome.stdout))


def test_a_child_that_does_not_read_much_input_is_stopped_in_time() -> None:
    outcome = run(Command(arguments=("sleep", "60"), stdin="x" * 1_000_000, timeout_s=1))
    assert outcome.timed_out
    assert outcome.duration_s < 30


def test_an_error_of_whoever_feeds_the_child_is_not_lost() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise StageFailed("the file changed")

    with pytest.raises(StageFailed, match="the file changed"):
        run(Command(arguments=("cat",), stdin=pieces()))


def test_a_log_that_cannot_be_written_is_a_full_disk_and_the_child_is_read_to_its_end() -> None:
    def full(stream: str, line: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull, match="No space left"):
        run(python("print('x\\n' * 100000)"), full)


def test_a_line_without_end_is_passed_on_in_parts() -> None:
    seen: list[str] = []
    outcome = run(python("print('x' * 1_000_000, end='')"), lambda _, line: seen.append(line))
    assert len(outcome.stdout) == 1_000_000
    assert max(map(len, seen)) < 100_000


def test_a_script_without_its_first_line_is_told(tmp_path: Path) -> None:
    script = tmp_path / "check"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    with pytest.raises(ToolMissing, match="cannot be started") as caught:
        run(Command(arguments=(str(script),)))
    assert "#!/bin/sh" in caught.value.advice


def test_signals_wait_while_something_is_cleaned_up() -> None:
    handled = signal.getsignal(signal.SIGTERM)
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) is handled


def test_descendants_are_stopped_but_not_what_ran_before() -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    parents = [
        subprocess.Popen(
            (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        ours, before = parents
        ended, stays = (int(cast("IO[str]", one.stdout).readline()) for one in parents)
        others = {one for one in children() if one.pid != ours.pid}
        stop_descendants(besides=others)
        assert ends(ours.pid)
        assert ends(ended)
        assert before.poll() is None
        assert psutil.Process(stays).status() != psutil.STATUS_ZOMBIE
    finally:
        stop_descendants(besides={one for one in children() if one.pid not in {each.pid for each in parents}})
        for parent in parents:
            parent.communicate()
