"""The composition of how commits to the GitOps repository are made and pushed."""

from pathlib import Path

from pipeline.commit_section import GitHubAppSection, SigningSection
from pipeline.update_section import AuthorSection, UpdateSection
from stages.gitops.access import Access
from stages.gitops.commits import Commits
from stages.gitops.fast_import import Author
from stages.gitops.github_app import TO_PROPOSE, TO_PUSH, GitHubApp
from stages.gitops.signing import Signing, is_key_id
from stages.gitops.wording import Wording


def commits(section: UpdateSection, root: Path) -> Commits:
    """Return what the configuration says of the commits; files are relative to pipeline.yaml's folder."""
    return Commits(
        committer=_author(section.committer),
        wording=Wording(template=section.message, trailers=section.trailers),
        signing=_signing(section.signing, root),
        access=Access(
            ssh_key=_file(section.ssh_key, root),
            known_hosts=_file(section.known_hosts, root),
            github_app=_app(section.github_app, root, proposes=section.pull_request is not None),
        ),
    )


def _author(section: AuthorSection | None) -> Author | None:
    return Author(name=section.name, email=section.email) if section is not None else None


def _signing(section: SigningSection | None, root: Path) -> Signing | None:
    if section is None:
        return None
    key = section.key
    if key is not None and not is_key_id(section.format, key):
        key = str(_file(key, root))
    return Signing(format=section.format, key=key)


def _app(section: GitHubAppSection | None, root: Path, *, proposes: bool) -> GitHubApp | None:
    if section is None:
        return None
    return GitHubApp(
        app_id=str(section.app_id),
        installation_id=section.installation_id,
        private_key=_file(section.private_key, root),
        api_url=section.api_url,
        permissions=TO_PROPOSE if proposes else TO_PUSH,
    )


def _file(name: str | None, root: Path) -> Path | None:
    return root / Path(name).expanduser() if name is not None else None
