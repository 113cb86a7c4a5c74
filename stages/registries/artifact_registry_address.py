"""The names of Google Artifact Registry: a host, a path, and the resource that they mean.

Source: Artifact Registry documentation, "Repository and image names" and "Overview of gcr.io repositories".
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from pipeline.errors import ConfigurationError
from pipeline.reference import Digest, Repository

PKG_DEV = re.compile(r"(?P<location>[a-z]+(?:-[a-z]+\d+)?)-docker\.pkg\.dev")
GCR_LOCATIONS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRegistryAddress:
    """What a repository's name says: where the images of one name are."""

    project: str
    location: str
    repository: str
    image: str
    """The name below the repository; may hold slashes."""

    @property
    def resource(self) -> str:
        """The repository's name in the API."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.repository}"

    def image_resource(self, digest: Digest) -> str:
        """Return an image's name in the API."""
        return f"{self.resource}/dockerImages/{quote(self.image, safe='')}@{digest}"

    @classmethod
    def parse(cls, repository: Repository) -> "ArtifactRegistryAddress":
        """Return the parts of a repository's name.

        Raises:
            ConfigurationError: something is missing.
        """
        host, parts = repository.host.lower(), repository.path.split("/")
        project = parts.pop(0)
        if "." in project and parts:  # of an organization's domain, as projects once were: example.com:name
            project = f"{project}:{parts.pop(0)}"
        location, name = GCR_LOCATIONS.get(host), host
        if location is None:
            location, name = _location(host), parts.pop(0) if parts else ""
        if not parts:
            raise ConfigurationError(
                f"{repository} does not name an image in a repository of Artifact Registry",
                advice=f"Write `registries: [{_form(host)}]`; the image's name comes after it.",
            )
        return cls(project=project, location=location, repository=name, image="/".join(parts))


def is_google(host: str) -> bool:
    """Tell whether Artifact Registry answers behind a host."""
    return host in GCR_LOCATIONS or PKG_DEV.fullmatch(host) is not None


def is_gcr(host: str) -> bool:
    """Tell whether a host is one of the old Container Registry's, whose repository has the host's name."""
    return host.lower() in GCR_LOCATIONS


def _location(host: str) -> str:
    found = PKG_DEV.fullmatch(host)
    return found["location"] if found else ""


def _form(host: str) -> str:
    return f"{host}/PROJECT" if is_gcr(host) else f"{host}/PROJECT/REPOSITORY"
