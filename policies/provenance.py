"""Where does the image come from, and may it go where it is bound for?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from posixpath import normpath
from typing import ClassVar, Literal

from pipeline.interface import Case
from pipeline.model import Artifact, BuiltImage, Destinations, Reason, Source, Verdict
from policies.rule import Options, Rule, Word


class ProvenanceRule(Rule):
    """Who built the image, from what, and on which branch."""

    rule: Literal["provenance"]
    allow_dirty: bool = True
    """Whether it may be built from a work tree that differs from the commit."""
    builders: tuple[Literal["github", "gitlab"], ...] | None = None
    """CI hosts that may have built it; default: anybody, a developer's machine too."""
    protected: bool = False
    """Whether the branch or tag has to be one that the CI host protects."""
    branches: tuple[Word, ...] | None = None
    """Patterns of the branches that it may come from, such as main and release/*."""

    judges: ClassVar[type[Artifact]] = BuiltImage
    why: ClassVar[str] = (
        "An image that was built from uncommitted changes, or on somebody's machine, cannot be built again "
        "or explained later. What a branch without protection holds nobody had to look at."
    )
    example: ClassVar[str] = """\
rule: provenance
allow_dirty: false
builders: [github]
protected: true
branches: [main, "release/*"]
"""
    remedy: ClassVar[str] = (
        "Commit and push, let the CI host build, and protect the branch there (GitHub: Settings, Branches or "
        "Rulesets; GitLab: Settings, Repository, Protected branches)."
    )
    exception: ClassVar[str] = "allow_dirty: true, protected: false, one more of builders or branches"

    def judge_in(self, artifact: BuiltImage, case: Case) -> Verdict:
        """Return the verdict on where an image comes from."""
        source = case.have.get(Source)
        reasons = [*self._of_tree(artifact), *self._of_source(source)]
        dirty = " and uncommitted changes" if artifact.dirty else ""
        where = f", branch {source.branch}" if source is not None and source.branch else ""
        return self.verdict(reasons, f"commit {artifact.revision[:12]}{dirty}{where}")

    def _of_tree(self, image: BuiltImage) -> Iterator[Reason]:
        if image.dirty and not self.allow_dirty:
            yield Reason(
                message=f"the work tree differs from commit {image.revision[:12]}, so nobody can build this "
                "again;"
                " a clean one is required",
                advice="Commit the changes (`git status` lists them) and run again.",
            )

    def _of_source(self, source: Source | None) -> Iterator[Reason]:
        ci = source.ci if source is not None else ""
        branch = source.branch if source is not None else None
        if self.builders is not None and ci not in self.builders:
            yield Reason(
                message=f"it was built by {ci or 'no CI host that is known'};"
                f" allowed are {', '.join(self.builders) or 'none'}",
                advice="Let a job of the CI host build it.",
            )
        if self.protected and (source is None or source.protected is not True):
            told = (
                "is not protected" if source and source.protected is False else "is not known to be protected"
            )
            yield Reason(
                message=f"the branch {branch or '(none)'} {told}; a protected one is required",
                advice="Protect it at the CI host, and let a job there deliver.",
            )
        if self.branches is not None and not any(fnmatchcase(branch or "", one) for one in self.branches):
            yield Reason(
                message=f"it comes from the branch {branch or '(none)'};"
                f" allowed are {', '.join(self.branches)}",
                advice="Deliver from one of them: merge the change first.",
            )


class Allowance(Options):
    """Where some branches may deliver to."""

    branches: tuple[Word, ...]
    """Patterns of the branches; `*` is also what has no branch, such as a tag."""
    registries: tuple[Word, ...] = ()
    """Patterns of the repositories that may get the image: registry.example.com/prod/*."""
    targets: tuple[Word, ...] = ()
    """Patterns of the paths of manifests that may be written: overlays/prod/*."""
    gitops: tuple[Word, ...] = ("*",)
    """Patterns of the addresses of GitOps repositories that may be written to."""


class DestinationsRule(Rule):
    """Which branch may push to which registry and write to which manifests; judged before anything starts."""

    rule: Literal["destinations"]
    allowed: tuple[Allowance, ...]
    """What is allowed; one entry has to allow it."""

    judges: ClassVar[type[Artifact]] = Destinations
    why: ClassVar[str] = (
        "The configuration lies in the branch: whoever can push a branch can name the production registry "
        "and the production manifests in it."
    )
    example: ClassVar[str] = """\
rule: destinations
allowed:
  - branches: [main]
    registries: ["registry.example.com/*"]
    targets: ["overlays/*"]
  - branches: ["*"]
    registries: ["registry.example.com/dev/*"]
    targets: ["overlays/dev/*"]
"""
    remedy: ClassVar[str] = (
        "Deliver from a branch that may, or to where this one may. The rule only binds whoever cannot "
        "change it: keep the pack in a repository or package of its own, and give the job of a branch no "
        "password for more than it needs."
    )
    exception: ClassVar[str] = "allowed: [{branches: […], registries: […], targets: […]}]"

    def judge_in(self, artifact: Destinations, case: Case) -> Verdict:
        """Return the verdict on where a stage is bound for."""
        source = case.have.get(Source)
        branch = (source.branch if source is not None else None) or ""
        fits = [one for one in self.allowed if any(fnmatchcase(branch, each) for each in one.branches)]
        bound = [*artifact.repositories, *artifact.targets]
        return self.verdict(
            self._reasons(artifact, branch or "(none)", fits), f"{branch} to {', '.join(bound)}"
        )

    def _reasons(self, bound: Destinations, branch: str, fits: list[Allowance]) -> Iterator[Reason]:
        for repository in bound.repositories:
            patterns = [each for one in fits for each in one.registries]
            if not any(fnmatchcase(repository, each) for each in patterns):
                yield self._reason(f"the branch {branch} pushes to {repository}", patterns)
        for target in bound.targets:
            if any(_allows(one, bound.gitops or "", target) for one in fits):
                continue
            patterns = [f"{path} in {where}" for one in fits for path in one.targets for where in one.gitops]
            yield self._reason(f"the branch {branch} writes to {target} in {bound.gitops}", patterns)

    def _reason(self, what: str, patterns: list[str]) -> Reason:
        return Reason(
            message=f"{what}; allowed are {', '.join(dict.fromkeys(patterns)) or 'none'}",
            advice="Deliver from a branch that may, or change the destination in pipeline.yaml.",
        )


def _allows(allowance: Allowance, gitops: str, target: str) -> bool:
    """Tell whether a manifest may be written, by the path that it has once `..` is followed."""
    path = normpath(target)
    return any(fnmatchcase(path, normpath(each)) for each in allowance.targets) and any(
        fnmatchcase(gitops, each) for each in allowance.gitops
    )
