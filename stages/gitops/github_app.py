"""A GitHub App lets the pipeline in: its key signs a request, GitHub answers with a token for an hour.

Unlike those of `GITHUB_TOKEN`, commits by an App's token start workflows. Source: GitHub's REST API, "Create
an installation access token for an app".
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from pipeline.redaction import Redactor
from stages.gitops.ssh import read_key
from stages.registries.extras import require

APP_KEY = "GITOPS_GITHUB_APP_KEY"
TO_PUSH = {"contents": "write"}
TO_PROPOSE = {**TO_PUSH, "pull_requests": "write"}
_ADVICE = {
    401: "Check `app_id`, and that the private key belongs to this App and was not revoked.",
    403: "Check that the App's installation is not suspended.",
    404: "Check `installation_id`: it stands at the end of the URL of the App's installation.",
    422: "Give the App the permission `Contents: Read and write`, for pull requests `Pull requests: Read and "
    "write` too, and accept it in the installation.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubApp:
    """An App's installation that may write to the GitOps repository."""

    app_id: str
    installation_id: int
    private_key: Path | None = None
    """File with the key in PEM form; None: its content is in `GITOPS_GITHUB_APP_KEY`."""
    api_url: str | None = None
    """None: that of the repository's host."""
    permissions: Mapping[str, str] = field(default_factory=lambda: TO_PUSH)
    """What the token is for, and no more."""

    def token(self, host: str, redact: Redactor, environment: Mapping[str, str] = os.environ) -> str:
        """Return a token of the installation, for what is needed and no more.

        Raises:
            ConfigurationError: there is no usable key.
            RemoteError: GitHub refuses, or cannot be reached.
            ToolMissing: the optional dependency is not installed.
        """
        require("github", "github", host)
        import github
        import requests

        key = self._key(environment)
        redact.add(key)
        api = self.api_url or default_api(host)
        try:
            app = github.Auth.AppAuth(self.app_id, key)
            with github.GithubIntegration(auth=app, base_url=api, retry=2) as client:
                token = client.get_access_token(self.installation_id, dict(self.permissions)).token
        except github.GithubException as error:
            raise self._refused(api, error.status, str(error.message or error)) from error
        except requests.RequestException as error:
            raise TemporaryRemoteError(
                f"{api} cannot be reached: {error}",
                advice="Check the network, the proxy settings and `api_url:`, then run again.",
            ) from error
        except (ValueError, TypeError) as error:  # what cryptography says of a key in another form
            raise ConfigurationError(
                "update.github_app: the private key is not usable",
                advice="Give the whole .pem file that GitHub made, with its first and last line.",
            ) from error
        redact.add(token)
        return token

    def _key(self, environment: Mapping[str, str]) -> str:
        given = environment.get(APP_KEY, "").strip()
        if given:
            return given
        if self.private_key is None:
            raise ConfigurationError(
                "update.github_app: there is no private key",
                advice=f"Put its content into {APP_KEY}, or name its file as `private_key:`.",
            )
        return read_key(self.private_key, "update.github_app.private_key")

    def _refused(self, api: str, status: int, said: str) -> PipelineError:
        message = f"{api} gives the GitHub App {self.app_id} no token: {said} (HTTP {status})"
        if status >= 500 or status == 429:
            return TemporaryRemoteError(message, advice="Run again later.")
        return RemoteError(message, advice=_ADVICE.get(status, "Check `update.github_app`."))


def default_api(host: str) -> str:
    """Return where GitHub's API is for a repository on this host."""
    return "https://api.github.com" if host in {"github.com", "www.github.com"} else f"https://{host}/api/v3"
