"""What pipeline.yaml says of the GitOps repository: where it is, which manifests change, and how."""

from pipeline.section import Seconds, Section


class TargetSection(Section):
    """A manifest that names the image."""

    path: str
    """File or folder in the GitOps repository (without one: below pipeline.yaml)."""
    image: str | None = None
    """Image in the manifest that the pushed one replaces; default: the repository that was pushed to."""


class AuthorSection(Section):
    """Who commits to the GitOps repository."""

    name: str = "Model Image Pipeline"
    """Name of the author and committer."""
    email: str = "pipeline@localhost"
    """E-mail address of the author and committer."""


class UpdateSection(Section):
    """The GitOps repository from which Argo CD or Flux rolls the image out."""

    repository: str | None = None
    """URL of the git repository; default: the edit is shown as a diff and nothing is written."""
    branch: str = "main"
    """Branch to commit to."""
    targets: tuple[TargetSection, ...] = ()
    """Manifests to edit, all in one commit."""
    author: AuthorSection = AuthorSection()
    """Author of the commit."""
    time_limit_s: Seconds = 180
    """How long to try again when other writers come first."""
