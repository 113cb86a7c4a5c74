"""What git and the server behind it said, and what the user can do about it.

Git has no exit codes for these, so its messages (in the C locale) are searched for known words.
"""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from pipeline.model import Check, Problem
from pipeline.process import Outcome
from stages.gitops.address import PASSWORD, USERNAME
from stages.gitops.ssh import SSH_KEY, keyscan

_SHOWN_LINES = 12


class Trouble(StrEnum):
    """Why a git command could not talk to the remote."""

    BRANCH = "there is no such branch"
    NO_CREDENTIALS = "the remote asks for credentials and there are none"
    CREDENTIALS = "the remote does not accept the credentials"
    HOST_KEY = "the remote's SSH host key is not known"
    CERTIFICATE = "the remote's certificate is not trusted"
    MISSING = "there is no such repository, or the credentials do not reach it"
    TEMPORARY = "the remote cannot be reached"
    OTHER = "git could not talk to the remote"


_SIGNS: tuple[tuple[Trouble, tuple[str, ...]], ...] = (
    (Trouble.BRANCH, ("couldn't find remote ref",)),
    (Trouble.HOST_KEY, ("host key verification failed", "remote host identification has changed")),
    (Trouble.CERTIFICATE, ("certificate", "ssl_error", "gnutls")),
    (
        Trouble.TEMPORARY,
        (
            "could not resolve",
            "name or service not known",
            "connection refused",
            "connection reset",
            "connection timed out",
            "connection closed",
            "operation timed out",
            "failed to connect",
            "couldn't connect",
            "early eof",
            "unexpected disconnect",
            "empty reply from server",
            "returned error: 5",
            "returned error: 429",
            "hung up unexpectedly",
            "network is unreachable",
            "no route to host",
        ),
    ),
    (Trouble.NO_CREDENTIALS, ("could not read username", "could not read password")),
    (
        Trouble.CREDENTIALS,
        (
            "authentication failed",
            "permission denied",
            "returned error: 401",
            "returned error: 403",
            "access denied",
            "marked as read only",
            "write access to repository not granted",
            "not authorized",
        ),
    ),
    (
        Trouble.MISSING,
        (
            "not found",
            "returned error: 404",
            "does not appear to be a git repository",
            "does not exist",
        ),
    ),
)
_LOST_RACE = ("failed to update ref", "cannot lock ref", "incorrect old value", "failed to lock")
_CUT_OFF = ("remote failed to report status", "unexpected disconnect")
# What hosts say of a push that they decline. Source: GitHub's GH… and Azure DevOps' TF… codes, GitLab's push
# rules, Gitea's and Forgejo's pre-receive hook.
_PROTECTED = (
    "gh006",
    "gh013",
    "protected branch",
    "must be made through a pull request",
    "must be made through the merge queue",
    "tf402455",
    "must use a pull request",
    "permission denied to update branch",
)
_UNSIGNED = ("must have verified signatures", "must be signed", "unsigned commit", "not signed")
_MESSAGE = ("commit message does not", "commit message contains", "commit message must", "missing trailer")
_AUTHOR = (
    "gh007",
    "is not a member of team",
    "you cannot push commits for",
    "'s email",
    "committer email",
    "author email",
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong with a remote, and what mends it; `found` does not name the remote."""

    url: str
    trouble: Trouble
    found: str
    advice: str

    def error(self) -> PipelineError:
        """Return the error that ends the stage, or another attempt."""
        kinds: dict[Trouble, type[PipelineError]] = {
            Trouble.BRANCH: ConfigurationError,
            Trouble.TEMPORARY: TemporaryRemoteError,
        }
        return kinds.get(self.trouble, RemoteError)(f"{self.url}: {self.found}", advice=self.advice)

    def check(self, subject: str) -> Check:
        """Return the same as the result of a check, whose subject names the remote."""
        problem = Problem.CONFIGURATION if self.trouble is Trouble.BRANCH else Problem.REMOTE
        return Check(subject=subject, found=self.found, problem=problem, advice=self.advice)


def diagnose(outcome: Outcome, url: str) -> Diagnosis:
    """Return what a failed git command means; `url` is shown and has no password."""
    said = said_by_git(outcome)
    if outcome.timed_out:
        found = f"the remote did not answer within {outcome.command.timeout_s:.0f} s"
        return Diagnosis(url, Trouble.TEMPORARY, found, _advice(Trouble.TEMPORARY, url))
    low = f"{outcome.stderr}\n{outcome.stdout}".lower()
    trouble = next((kind for kind, signs in _SIGNS if any(sign in low for sign in signs)), Trouble.OTHER)
    return Diagnosis(url, trouble, f"{trouble.value}\n{said}".rstrip(), _advice(trouble, url))


def _advice(trouble: Trouble, url: str) -> str:
    token = (
        f"Give a token that may write as {PASSWORD} (and its user as {USERNAME} where the server asks for "
        f"one), or configure a git credential helper; for SSH, give the deploy key as {SSH_KEY}."
    )
    return {
        Trouble.BRANCH: "Correct `branch:` of `update:`, or create the branch in the GitOps repository.",
        Trouble.NO_CREDENTIALS: token,
        Trouble.CREDENTIALS: token,
        Trouble.HOST_KEY: f"Run `{keyscan(url)}`, and compare the fingerprints (`ssh-keygen -lf`) with "
        "those that the host publishes. Another file is named by `known_hosts:` of `update:`.",
        Trouble.CERTIFICATE: "Point git at the authority's certificate: GIT_SSL_CAINFO=/path/to/ca.pem.",
        Trouble.MISSING: "Check `repository:` of `update:`. Servers also say this to a token that may not "
        f"read the repository: check {PASSWORD}.",
        Trouble.TEMPORARY: "Check the address, the network and the proxy settings, then run again: "
        "what is already done is not done twice.",
        Trouble.OTHER: "The stage's git.log has every command and its output.",
    }[trouble]


def said_by_git(outcome: Outcome) -> str:
    """Return the lines that say what is wrong: the remote's own ones first, else git's."""
    lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    remote = [line for line in remote if line]
    ours = [line for line in lines if not line.startswith(("hint:", "To ", "warning: filtering"))]
    return "\n".join(f"    {line}" for line in (remote or ours)[-_SHOWN_LINES:])


def lost_race(outcome: Outcome) -> bool:
    """Tell whether a push was refused only because somebody else was there first."""
    reasons = [line for line in outcome.stdout.splitlines() if line.startswith("!")]
    return any("[rejected]" in line or any(sign in line for sign in _LOST_RACE) for line in reasons)


def refused_push(outcome: Outcome, url: str, branch: str) -> PipelineError:
    """Return the error for a push that failed and was no lost race."""
    reason = next((line for line in outcome.stdout.splitlines() if line.startswith("!")), "")
    if outcome.timed_out or not reason or any(sign in reason for sign in _CUT_OFF):
        return diagnose(outcome, url).error()
    why = reason.rpartition("\t")[2]
    return RemoteError(
        f"{url} declined the push to {branch}: {why}\n{said_by_git(outcome)}".rstrip(),
        advice=_push_advice(f"{outcome.stderr}\n{reason}".lower(), branch),
    )


def _push_advice(said: str, branch: str) -> str:
    """Return what helps against a declined push; a signature or a name helps where also a rule is named."""
    if any(sign in said for sign in _UNSIGNED):
        return "Have the commits signed: `signing:` of `update:`, with a key that the host knows."
    if any(sign in said for sign in _MESSAGE):
        return "Write the message as the host wants it: `message:` and `trailers:` of `update:`."
    if any(sign in said for sign in _AUTHOR):
        return "Commit as somebody whom the host knows: `author:` and `committer:` of `update:`."
    if any(sign in said for sign in _PROTECTED):
        return (
            f"{branch} is protected. Have the pipeline propose its changes instead (`pull_request: {{}}` of "
            "`update:`), or allow its user, deploy key or App to push there."
        )
    return (
        f"Let the pipeline's user push to {branch} (branch protection, push rules, hooks), "
        "or have it propose its changes instead (`pull_request: {{}}` of `update:`)."
    )
