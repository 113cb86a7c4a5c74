"""The build cache in GitHub Actions' cache service, which gives jobs of a branch what its base has kept.

GitHub tells the service's address and token to JavaScript actions only: the action hands them on when it is
asked to. buildx takes them from the environment, and without them it drops the cache without a word.

Source: BuildKit, "GitHub Actions cache"; GitHub, "Restrictions for accessing a cache".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.model import Check, Problem
from stages.buildkit.builder import Builder, buildx_version
from stages.buildkit.external_cache import (
    NO_EXPORT,
    STAYS_HERE,
    SUBJECT,
    CacheUse,
    Mode,
    in_words,
)

NAME = "GitHub's cache service"
TOKEN = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - the variable's name
ADDRESSES = ("ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL")
SECOND = "ACTIONS_CACHE_SERVICE_V2"
OLDEST_BUILDX, OLDEST_BUILDKIT, OLDEST_ENGINE = (0, 21), (0, 20), (28,)
"""The first that speak to the service's second form, the only one on github.com."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubCache:
    """The cache of one image among those of a GitHub repository."""

    scope: str
    environment: Mapping[str, str]
    mode: Mode = "max"

    def check(self, builder: Builder, desk: Desk) -> Check:
        """See `ExternalCache.check`; on GitHub, a job without the token is a mistake that can be mended."""
        if self._is_on_github and not self._is_reachable:
            return Check(
                subject=SUBJECT,
                found=f"{NAME} has given this step no token and no address",
                problem=Problem.CONFIGURATION,
                advice="Say `build-cache: gha` where the workflow uses the action, which then hands them on. "
                f"A step of your own gets {TOKEN} and {ADDRESSES[0]} from an action such as "
                "actions/github-script.",
            )
        return Check(subject=SUBJECT, found=in_words(self.use(builder, desk)))

    def use(self, builder: Builder, desk: Desk) -> CacheUse:
        """See `ExternalCache.use`."""
        if (refusal := self._refusal(builder)) is not None:
            return CacheUse(read={}, written={}, notes=(f"not used: {refusal}",))
        desk.redact.add(self.environment[TOKEN])
        source = {"type": "gha", "scope": self.scope}
        target = {**source, "mode": self.mode, "ignore-error": "true"}
        return CacheUse(
            read={NAME: source},
            written={} if desk.dry_run else {NAME: target},
            notes=(f"not written: {STAYS_HERE}",) if desk.dry_run else (),
        )

    def _refusal(self, builder: Builder) -> str | None:
        if not self._is_reachable:
            return f"{NAME} is out of reach here"
        if not builder.exports_cache:
            return NO_EXPORT
        if self.environment.get(SECOND, "").lower() not in {"true", "1"}:  # an older GitHub Enterprise Server
            return None
        return _too_old(builder)

    @property
    def _is_on_github(self) -> bool:
        return self.environment.get("GITHUB_ACTIONS") == "true"

    @property
    def _is_reachable(self) -> bool:
        return bool(self.environment.get(TOKEN)) and any(map(self.environment.get, ADDRESSES))


def _too_old(builder: Builder) -> str | None:
    """Return what does not know the service's second form; a builder that sleeps tells no version."""
    engine = builder.engine
    known = {
        "buildx": (buildx_version(), OLDEST_BUILDX),
        "the engine": (engine.version if engine is not None else "", OLDEST_ENGINE),
        "BuildKit": (builder.buildkit_version if engine is None else "", OLDEST_BUILDKIT),
    }
    for what, (version, oldest) in known.items():
        if (numbers := _numbers(version)) and numbers < oldest:
            least = ".".join(map(str, oldest))
            return f"{what} {version} does not know {NAME} as it is today; at least {least} is needed"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
