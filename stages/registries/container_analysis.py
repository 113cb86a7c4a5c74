"""Google's Container Analysis API by REST: what is noted of an image, such as the findings of a scan.

It has a library of its own, in two packages. For the one call that is needed here google-auth's session does,
with the proxies and authorities of everything else.

Source: Artifact Analysis documentation, "Investigate vulnerabilities"; REST resource projects.occurrences.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.errors import PipelineError, RemoteError
from stages.registries.artifact_registry_api import ANSWER_TIMEOUT_S, patience
from stages.registries.cloud_errors import PermissionMissing
from stages.registries.extras import require
from stages.registries.google_refusals import REQUEST, refusal
from stages.registries.google_session import GoogleSession

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

API = "https://containeranalysis.googleapis.com/v1"
PAGE = 1000  # the largest that it gives
PERMISSION, VIEWER = "containeranalysis.occurrences.list", "roles/containeranalysis.occurrences.viewer"


def occurrences(session: GoogleSession, project: str, condition: str) -> tuple[Mapping[str, Any], ...]:
    """Return all that is noted in a project under a condition (the API's filter).

    Raises:
        PermissionMissing: we may not list what is noted there.
        PipelineError: the API is switched off, or does not answer.
    """
    require("google.api_core", "google", session.host)
    import requests
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        with contextlib.closing(AuthorizedSession(session.credentials())) as http:
            return tuple(_listed(http, project, condition))
    except (GoogleAPIError, GoogleAuthError, requests.RequestException) as error:
        raise _refused(error, session, project) from error


def _listed(http: "AuthorizedSession", project: str, condition: str) -> Iterator[Mapping[str, Any]]:
    question = {"filter": condition, "pageSize": str(PAGE)}
    address = f"{API}/projects/{quote(project, safe='')}/occurrences"
    ask = patience()(_ask)
    while True:
        answer = ask(http, address, question)
        yield from answer.get("occurrences", ())
        if not (token := answer.get("nextPageToken")):
            return
        question["pageToken"] = str(token)


def _ask(http: "AuthorizedSession", address: str, question: Mapping[str, str]) -> Mapping[str, Any]:
    from google.api_core.exceptions import from_http_response

    response = http.get(address, params=dict(question), timeout=ANSWER_TIMEOUT_S)
    if not response.ok:
        raise from_http_response(response)
    answer: Mapping[str, Any] = response.json()
    return answer


def _refused(error: Exception, session: GoogleSession, project: str) -> PipelineError:
    from google.api_core.exceptions import Forbidden

    if not isinstance(error, Forbidden):
        return refusal(error, session, "read the scan's findings")
    said = " ".join(REQUEST.sub("", error.message, count=1).split())
    if error.reason == "SERVICE_DISABLED" or "has not been used in project" in said:
        return RemoteError(
            f"{session.host}: the Container Analysis API is disabled in project {project}",
            advice="gcloud services enable containeranalysis.googleapis.com containerscanning.googleapis.com "
            f"--project={project}",
        )
    return PermissionMissing(
        f"{session.host}: Google does not allow {PERMISSION} in project {project}: {said}",
        advice=f"Grant {VIEWER}, which holds it, to whoever is logged in:\n"
        f"gcloud projects add-iam-policy-binding {project} --role={VIEWER} --member=…\n"
        "`gcloud auth list` shows who you are; a credentials file names its account.",
    )
