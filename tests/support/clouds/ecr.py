"""Amazon ECR: its registry's rules in front of a stock registry, in step with the control plane.

The rules: a password of the control plane's or none; repositories have to exist; a blob comes whole (the
first PATCH is answered by 201, what follows is thrown away); blobs are mounted only where the account says
so; immutable tags; downloads come from S3, which takes no Authorization header.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError

from tests.support.clouds.aws import ACCOUNT, API_HOSTS, REGIONS, ControlPlane, running_moto
from tests.support.clouds.front import Asked, Front, Upstream
from tests.support.clouds.internet import Internet
from tests.support.loopback import Reply, refused
from tests.support.registry import running_registry

HOST = f"{ACCOUNT}.dkr.ecr.{REGIONS[0]}.amazonaws.com"
HOSTS = tuple(
    host for region in REGIONS for host in (f"*.dkr.ecr.{region}.amazonaws.com", f"*.dkr-ecr.{region}.on.aws")
)
STORE = "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com"
MOTO_PASSWORD = f"{ACCOUNT}-auth-token"
PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags|referrers)/(?P<rest>.*)")
TWO_MECHANISMS = (
    b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
)


@dataclass(slots=True)
class Ecr:
    """The rules of the registry; everything that a test may change is a field."""

    plane: ControlPlane
    before: list[Reply] = field(default_factory=list)
    """Answers for the next requests that carry a password, one each."""
    denied: set[str] = field(default_factory=set)
    """Actions, such as `ecr:PutImage`, that no policy allows."""
    expire_at: str | None = None
    """The passwords end when a request comes with this method and part of its path, such as `PUT /blobs/`."""
    parts: set[str] = field(default_factory=set)
    """Uploads that have got their first part."""
    used: set[str] = field(default_factory=set)
    """The actions that were asked for."""

    def __call__(self, asked: Asked) -> Reply | None:
        method, _, part = (self.expire_at or "").partition(" ")
        if method == asked.method and part in asked.path:
            self.expire_at = None
            self.plane.expire_passwords()
        if (reply := self._password(asked)) is not None:
            return reply
        if self.before:
            return self.before.pop(0)
        found = PATH.fullmatch(asked.path)
        return self._serve(asked, found) if found else None

    def _serve(self, asked: Asked, found: re.Match[str]) -> Reply | None:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        action = _action(asked.method, kind, rest)
        self.used.add(action)
        if action in self.denied:
            return refused(403, "DENIED", _no_policy(action, name))
        if (repository := self._repository(asked, name)) is None:
            message = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            return refused(404, "NAME_UNKNOWN", message)
        if kind == "manifests" and asked.method == "PUT":
            return self._put_image(asked, name, rest, immutable=repository == "IMMUTABLE")
        return self._blob(asked, name, rest) if kind == "blobs" else None

    def password(self) -> str:
        """Return a password for another client."""
        return self.plane.mint()

    def _password(self, asked: Asked) -> Reply | None:
        given = _decoded(asked.headers.get("Authorization", ""))
        if given in {f"AWS:{each}" for each in self.plane.passwords}:
            return None
        if given == f"AWS:{MOTO_PASSWORD}" and self.plane.moto_passwords:
            return None
        if given in {f"AWS:{each}" for each in self.plane.expired}:
            message = "Your authorization token has expired. Reauthenticate and try again."
            return refused(403, "DENIED", message)
        realm = f'Basic realm="https://{asked.host}/",service="ecr.amazonaws.com"'
        return Reply(401, {"WWW-Authenticate": realm}, b"Not Authorized\n")

    def _repository(self, asked: Asked, name: str) -> str | None:
        """Return the mutability of a repository, or None where it does not exist in the host's region."""
        region = next(region for region in REGIONS if region in asked.host)
        try:
            answer = self.plane.client("ecr", region).describe_repositories(repositoryNames=[name])
        except ClientError:
            return None
        return str(answer["repositories"][0]["imageTagMutability"])

    def _put_image(self, asked: Asked, name: str, reference: str, *, immutable: bool) -> Reply:
        content = asked.read()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        tag = None if reference.startswith("sha256:") else reference
        if tag is not None and immutable and self._tagged(name, tag) not in {None, digest}:
            message = (
                f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten "
                "because the tag is immutable."
            )
            return refused(400, "TAG_INVALID", message)
        said = asked.forward()
        if said.status == 201:
            self._note_image(name, tag, digest, content.decode(), asked.headers["Content-Type"])
        return said

    def _note_image(self, name: str, tag: str | None, digest: str, manifest: str, media_type: str) -> None:
        about = {"imageManifest": manifest, "imageManifestMediaType": media_type, "imageDigest": digest}
        try:
            self.plane.client("ecr").put_image(
                repositoryName=name, **about, **({"imageTag": tag} if tag else {})
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ImageAlreadyExistsException":
                raise

    def _tagged(self, name: str, tag: str) -> str | None:
        try:
            answer = self.plane.client("ecr").describe_images(
                repositoryName=name, imageIds=[{"imageTag": tag}]
            )
        except ClientError:
            return None
        return str(answer["imageDetails"][0]["imageDigest"])

    def _blob(self, asked: Asked, name: str, rest: str) -> Reply | None:
        if asked.method == "POST" and self.plane.settings["BLOB_MOUNTING"] != "ENABLED":
            asked.forwarded = asked.path  # `mount` and `from` are not even looked at
        if asked.method == "GET" and not rest.startswith("uploads/"):
            return Reply(307, {"Location": f"https://{STORE}/v2/{name}/blobs/{rest}?X-Amz-Signature=abc"})
        if asked.method != "PATCH":
            return None
        if rest in self.parts:
            return Reply(201, {"Location": asked.target})
        self.parts.add(rest)
        said = asked.forward()
        return Reply(201, said.headers, said.body)


def layer_store(asked: Asked) -> Reply | None:
    """The rule of S3: a signed address and an Authorization header do not go together."""
    if "Authorization" in asked.headers:
        return Reply(400, {"Content-Type": "application/xml"}, TWO_MECHANISMS)
    return None


@dataclass(frozen=True, slots=True)
class Amazon:
    """ECR as it runs: what it does, and what it was asked."""

    ecr: Ecr
    plane: ControlPlane
    registry: Front
    api: Front
    store: Front


@contextmanager
def running_ecr(internet: Internet, folder: Path) -> Iterator[Amazon]:
    """Run Amazon ECR on an internet for as long as the `with` block lasts."""
    with running_registry(folder / "ecr") as stock, running_moto(folder) as plane:
        ecr = Ecr(plane)
        registry = internet.serve(HOSTS, ecr, upstream=stock)
        api = internet.serve(API_HOSTS, plane, upstream=Upstream(plane.port))
        store = internet.serve((STORE,), layer_store, upstream=stock)
        yield Amazon(ecr, plane, registry, api, store)


def _decoded(header: str) -> str:
    try:
        return base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _action(method: str, kind: str, rest: str) -> str:
    if kind == "manifests":
        return "ecr:PutImage" if method == "PUT" else "ecr:BatchGetImage"
    if kind == "tags":
        return "ecr:ListImages"
    if rest.startswith("uploads/"):
        return "ecr:InitiateLayerUpload" if method == "POST" else "ecr:UploadLayerPart"
    return "ecr:GetDownloadUrlForLayer" if method == "GET" else "ecr:BatchCheckLayerAvailability"


def _no_policy(action: str, name: str) -> str:
    return (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/push/digits is not authorized to perform: {action} on "
        f"resource: arn:aws:ecr:{REGIONS[0]}:{ACCOUNT}:repository/{name} because no identity-based policy "
        f"allows the {action} action"
    )
