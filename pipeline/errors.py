"""Every error that ends a run, each with its exit code and with what to do next.

PipelineError
├── StageFailed            1   a stage could not do its work, or the tests are red
├── ConfigurationError     2   pipeline.yaml, the environment or a flag is wrong
│   └── ManifestRefused    8   a manifest cannot be edited safely, or it is not clear where
├── PolicyRefused          3   the evidence is not good enough
├── ToolMissing            4   a tool is missing, too old or does not answer
├── RemoteError            5   a registry or a git remote refused or could not be reached
│   ├── TemporaryRemoteError   the same, and worth another try
│   └── LoginMissing           it asks who we are, and this job has nothing to say
├── DiskFull               6   not enough free disk
├── TagConflict            7   the tag exists with another digest
├── NotVerified            9   a signature or an attestation is missing, or is not the expected signer's
├── InternalError         70   a defect of the pipeline itself
└── Interrupted          130   Ctrl-C or a termination signal
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pipeline.model import Artifact, Verdict


class PipelineError(Exception):
    """An error that ends a run with one message and one advice instead of a traceback.

    `made` is the evidence that the stage has all the same; the record keeps it.
    """

    exit_code: ClassVar[int]

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.made: Artifact | None = None


class StageFailed(PipelineError):
    """A stage could not do its work; `tail` is the end of what was printed."""

    exit_code = 1

    def __init__(
        self, message: str, *, advice: str = "", tail: str = "", made: "Artifact | None" = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.tail = tail
        self.made = made


class ConfigurationError(PipelineError):
    """The configuration is wrong: names file, line, value and the nearest right key."""

    exit_code = 2


class ManifestRefused(ConfigurationError):
    """A manifest is left as it is: it names no such image, several, or one that cannot be changed alone."""

    exit_code = 8


class PolicyRefused(PipelineError):
    """At least one enforced policy refused the evidence of a stage; the record has every reason."""

    exit_code = 3

    def __init__(self, stage: str, refused: "Sequence[Verdict]") -> None:
        count = sum(len(verdict.reasons) for verdict in refused)
        super().__init__(
            f"the policies refused {stage}: {count} reason{'s' if count != 1 else ''}",
            advice="Mend what is listed above, or change the rule in the policy named beside it.",
        )


class ToolMissing(PipelineError):
    """A tool that the run needs is missing, too old or does not answer."""

    exit_code = 4


class RemoteError(PipelineError):
    """A registry or a git remote refused, or could not be reached."""

    exit_code = 5


class TemporaryRemoteError(RemoteError):
    """A remote error that may pass; `retry_after_s` is what the server asked for, if it did."""

    exit_code = 5

    def __init__(self, message: str, *, advice: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_after_s = retry_after_s


class LoginMissing(RemoteError):
    """A remote asks for a login, and there is none here: a job for a pull request may not have one."""

    exit_code = 5


class DiskFull(PipelineError):
    """A file system has, or would have, no room left for the run."""

    exit_code = 6


class TagConflict(PipelineError):
    """The tag exists in the registry and names another digest."""

    exit_code = 7


class NotVerified(PipelineError):
    """A signature or an attestation is missing, was changed, or is another signer's: nothing is known."""

    exit_code = 9


class InternalError(PipelineError):
    """A defect of the pipeline itself: the message names the file to attach to a report."""

    exit_code = 70


class Interrupted(PipelineError):
    """The user or the system asked the run to stop."""

    exit_code = 130
