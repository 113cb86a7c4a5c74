"""Are there secrets in the layers?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import NonNegativeInt

from pipeline.model import Artifact, Reason, ScanReport, Secret, Verdict
from policies.rule import Rule, Word, listed, plural

NOBODY_LOOKED = "nobody looked for {what}; a scan that does is required"
LOOK = "Let the scan look for them: `scan: {{look_for: [{key}]}}` in pipeline.yaml."


class SecretsRule(Rule):
    """No secret lies in a layer of the image."""

    rule: Literal["secrets"]
    maximum: NonNegativeInt = 0
    """How many are allowed."""
    allowed_paths: tuple[Word, ...] = ()
    """Patterns of files that may hold what looks like one, such as `app/tests/*`."""
    allowed_rules: tuple[Word, ...] = ()
    """Names of the scanner's rules that do not count, such as `jwt-token`."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "Whoever can pull the image has the secret, also when a later layer removes its file."
    )
    example: ClassVar[str] = 'rule: secrets\nallowed_paths: ["app/tests/data/*"]\n'
    remedy: ClassVar[str] = (
        "Revoke the secret first: it is known. Then build without it (`build.secrets` mounts one for a "
        "`RUN` line) and give it to the container when it runs."
    )
    exception: ClassVar[str] = "allowed_paths: [app/tests/*]"

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the secrets of a scan."""
        if artifact.secrets is None:
            reason = Reason(message=NOBODY_LOOKED.format(what="secrets"), advice=LOOK.format(key="secrets"))
            return self.verdict((reason,), "nobody looked")
        counted = [one for one in artifact.secrets if not self._allowed(one)]
        return self.verdict(self._reasons(counted), f"{len(counted) or 'no'} secrets")

    def _allowed(self, secret: Secret) -> bool:
        path = secret.path.lstrip("/")
        return secret.rule in self.allowed_rules or any(fnmatchcase(path, one) for one in self.allowed_paths)

    def _reasons(self, counted: list[Secret]) -> Iterator[Reason]:
        if len(counted) <= self.maximum:
            return
        told = listed(f"{one.rule} in {one.path}{f':{one.line}' if one.line else ''}" for one in counted)
        paths = f"`allowed_paths: [{counted[0].path.lstrip('/')}]`"
        yield Reason(
            message=f"{plural(len(counted), 'secret')}; at most {self.maximum} allowed: {told}",
            advice=f"{self.remedy} {self.exception_text(f'where it is none, {paths}')}",
        )
