"""What killed runs left behind: only what is certainly nobody's any more is removed."""

from pipeline.process import Command, Outcome
from stages.servers.engine import Engine
from stages.servers.leftovers import remove_leftovers
from stages.servers.owner import Owner

JOB = "3f2a9c1d77aa" + "0" * 52


class Listing:
    """An engine with the container of another job, and with a list of what runs, or without one."""

    def __init__(self, running: str, exit_code: int = 0) -> None:
        self._running, self._exit_code = running, exit_code
        self.removed: list[str] = []

    def run(self, command: Command) -> Outcome:
        words = command.arguments[1:]
        if words[:2] == ("rm", "--force"):
            self.removed.append(words[-1])
        if words[:2] == ("ps", "--all"):
            return self._said(command, f"abc {Owner.ourselves(JOB)}")
        if words[:2] == ("ps", "--quiet"):
            return self._said(command, self._running, self._exit_code)
        return self._said(command, "")

    def _said(self, command: Command, text: str, exit_code: int = 0) -> Outcome:
        return Outcome(command=command, exit_code=exit_code, stdout=text, stderr="", duration_s=0.0)


def removed(engine: Listing) -> list[str]:
    remove_leftovers(Engine(engine.run), Owner.ourselves(None), lambda _: None)
    return engine.removed


def test_what_the_container_of_a_dead_job_left_is_removed() -> None:
    assert removed(Listing("0" * 64)) == ["abc"]
    assert removed(Listing(JOB)) == []


def test_an_engine_that_does_not_say_what_runs_has_nothing_taken_from_it() -> None:
    assert removed(Listing("", exit_code=1)) == []
