"""What a host of pull requests answers when it does not do what it is asked, in words for people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from pipeline.model import Check, Problem
from stages.gitops.forge import Place

_JOBS = (
    "GITHUB_TOKEN opens pull requests only where the organisation allows it (Settings, Actions, General); "
    "GitLab's job token opens no merge requests."
)


def checked(subject: str, problem_of: Callable[[], str], advice: str) -> Check:
    """Return a check that fails where the question does, or where its answer is a problem."""
    try:
        found = problem_of()
    except ConfigurationError as error:
        return Check(subject=subject, found=error.message, problem=Problem.CONFIGURATION, advice=error.advice)
    except PipelineError as error:
        return Check(subject=subject, found=error.message, problem=Problem.REMOTE, advice=error.advice)
    if found:
        return Check(subject=subject, found=found, problem=Problem.REMOTE, advice=advice)
    return Check(subject=subject, found="the token opens it")


@contextmanager
def reachable(place: Place) -> Iterator[None]:
    """Turn what goes wrong on the way to a host into an error for people.

    Raises:
        TemporaryRemoteError: the host cannot be reached.
    """
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise TemporaryRemoteError(
            f"{place.host} cannot be reached over its API: {type(error).__name__}",
            advice="Check the network, the proxy and `api_url:` of `pull_request:`, and run again.",
        ) from error


def refused(place: Place, host: str, status: int, said: str, rights: str) -> PipelineError:
    """Return the error for an answer: who refuses, why, and what mends it."""
    where = f"{place.host}/{place.path}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        missing = status == HTTPStatus.NOT_FOUND
        known = "shows the token no such repository" if missing else "does not accept the token"
        advice = f"Give a token as GITOPS_PASSWORD that has {rights} on {place.path}."
        return RemoteError(f"{where}: {host} {known} (HTTP {status}: {said})", advice=advice)
    limited = "rate limit" in said.lower() or status == HTTPStatus.TOO_MANY_REQUESTS
    if limited or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TemporaryRemoteError(f"{where}: {host} answers {said} (HTTP {status})", advice="Run again.")
    if status == HTTPStatus.FORBIDDEN:
        advice = f"Give the token {rights}. {_JOBS}"
        return RemoteError(f"{where}: {host} forbids it (HTTP 403: {said})", advice=advice)
    return RemoteError(
        f"{where}: {host} refuses (HTTP {status}: {said})",
        advice="Correct what it names: labels, reviewers and branches of `update:` must exist there.",
    )


def missing_library(noun: str, library: str, extra: str) -> ConfigurationError:
    """Return the error for a library that comes with an extra."""
    return ConfigurationError(
        f"{noun}s need the library {library}, which is not installed",
        advice=f"Run: pip install 'model-image-pipeline[{extra}]'",
    )
