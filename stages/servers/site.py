"""Where one server runs: the engine, the way to it, and the name that everything made for it has."""

import re
import secrets
from dataclasses import dataclass, replace
from typing import Self

from pipeline.desk import Desk
from stages.servers.engine import Engine, EngineFacts
from stages.servers.leftovers import OWNER_LABEL, remove_leftovers
from stages.servers.owner import Owner
from stages.servers.reach import Reach, find_reach

LABEL = "model-image-pipeline.run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is made for one server in one engine; all of it is removed when the stage ends."""

    engine: Engine
    desk: Desk
    reach: Reach
    name: str
    owner: Owner
    """This process: what it leaves when it is killed is removed by the next one."""

    def part(self) -> Self:
        """Return a site for one of several starts: what is made there is removed by its desk's `close`."""
        return replace(self, desk=self.desk.part(), name=f"{self.name}-{secrets.token_hex(3)}")

    @property
    def label(self) -> tuple[str, ...]:
        """The options that mark what is made here as this run's."""
        return ("--label", f"{LABEL}={self.desk.run_name}", "--label", f"{OWNER_LABEL}={self.owner}")

    def remove_at_the_end(self, kind: str, name: str) -> None:
        """Remember to remove a volume or network, which may never have come to be."""
        self.desk.on_exit(lambda: self._remove(kind, name))

    def _remove(self, kind: str, name: str) -> None:
        outcome = self.engine.attempt(kind, "rm", name)
        said = outcome.stderr.strip()
        gone = "no such" in said.lower() or "not found" in said.lower()
        if not outcome.succeeded and not gone:
            self.desk.say(f"could not remove the {kind} {name}: {said}")


def our_site(desk: Desk) -> tuple[Site, EngineFacts]:
    """Return a site in the engine that answers, once what killed runs left there is gone.

    Raises:
        ToolMissing: no engine answers, or nothing in it can be reached from here.
    """
    engine = Engine(desk.run)
    facts = engine.facts()
    reach = find_reach(facts)
    owner = Owner.ourselves(None if reach.job is None else reach.job.id)
    remove_leftovers(engine, owner, desk.say)
    name = f"model-image-pipeline-{desk.run_name or 'run'}-{secrets.token_hex(4)}".lower()
    unique = re.sub(r"[^a-z0-9.-]+", "-", name)
    return Site(engine=engine, desk=desk, reach=reach, name=unique, owner=owner), facts
