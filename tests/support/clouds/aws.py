"""Amazon's control plane: moto behind its real host names, with what moto leaves out.

moto knows repositories, images, IAM and STS. Added here: passwords that differ and end, account settings,
creation templates, and an STS that looks at the identity token it is shown.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import jwt
import requests

from tests.support import detached
from tests.support.clouds.front import Asked
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.loopback import Reply, json_reply
from tests.support.registry import free_port

ACCOUNT = "123456789012"
REGIONS = ("eu-west-1", "eu-west-3")
AUDIENCE = "sts.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/push"
LIFETIME_S = 3600
API_HOSTS = tuple(
    host
    for region in REGIONS
    for host in (f"api.ecr.{region}.amazonaws.com", f"ecr.{region}.api.aws", f"sts.{region}.amazonaws.com")
)

Answer = Callable[[Asked], Reply | None]


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key of AWS and its secret."""

    identifier: str
    secret: str = field(repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that boto3 reads."""
        return {"AWS_ACCESS_KEY_ID": self.identifier, "AWS_SECRET_ACCESS_KEY": self.secret}


@dataclass(slots=True)
class ControlPlane:
    """Rules for the front before moto; everything that a test may change is a field."""

    port: int
    administrator: Keys = Keys("AKIAADMINISTRATOR", "administrator")
    before: Answer = lambda _: None
    """May answer in AWS's place, and so make it misbehave."""
    password_lifetime_s: float = 12 * 3600
    session_lifetime_s: float | None = None
    """Of the credentials of a role; None: as moto has it, an hour."""
    shown: list[str] = field(default_factory=list)
    """Identity tokens that were taken."""
    passwords: set[str] = field(default_factory=set)
    """Those that are good now."""
    expired: set[str] = field(default_factory=set)
    moto_passwords: bool = False
    """Give moto's own password, which is always the same and ended in 2015."""
    settings: dict[str, str] = field(default_factory=lambda: {"BLOB_MOUNTING": "DISABLED"})
    templates: list[dict[str, object]] = field(default_factory=list)
    """Of repositories that are made when something is pushed."""
    identity_provider: IdentityProvider = field(default_factory=IdentityProvider)
    calls: list[str] = field(default_factory=list)
    """The operations that were asked for."""

    def __call__(self, asked: Asked) -> Reply | None:
        operation = asked.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if not operation:
            operation = parse_qs(asked.read().decode()).get("Action", [""])[0]
        self.calls.append(operation)
        if (reply := self.before(asked)) is not None:
            return reply
        rule = {
            "GetAuthorizationToken": self._password,
            "GetAccountSetting": self._setting,
            "DescribeRepositoryCreationTemplates": self._templates,
            "AssumeRoleWithWebIdentity": self._assume_role,
        }.get(operation)
        return (rule or _forward)(asked)

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        """Return an administrator's client that speaks to moto directly."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=self.administrator.identifier,
            aws_secret_access_key=self.administrator.secret,
        )

    def mint(self) -> str:
        """Return a new password for the registries."""
        password = secrets.token_urlsafe(24)
        self.passwords.add(password)
        return password

    def expire_passwords(self) -> None:
        """Let every password that was given so far end now."""
        self.expired |= self.passwords
        self.passwords.clear()

    def make_user(self, *actions: str) -> Keys:
        """Make a user who may do this and nothing else."""
        name, iam = f"user-{secrets.token_hex(4)}", self.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(key["AccessKeyId"], key["SecretAccessKey"])

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Let moto check signatures and policies for as long as the `with` block lasts."""
        control = f"http://127.0.0.1:{self.port}/moto-api/reset-auth"
        requests.post(control, data=b"0", timeout=10).raise_for_status()
        try:
            yield
        finally:
            requests.post(control, data=b"inf", timeout=10).raise_for_status()

    def _password(self, asked: Asked) -> Reply:
        said = _forward(asked)
        if said.status != requests.codes.ok or self.moto_passwords:
            return said
        document = json.loads(said.body)
        entry = document["authorizationData"][0]
        entry["authorizationToken"] = base64.b64encode(f"AWS:{self.mint()}".encode()).decode()
        entry["expiresAt"] = time.time() + self.password_lifetime_s
        return _aws_json(document, said)

    def _setting(self, asked: Asked) -> Reply:
        name = json.loads(asked.read())["name"]
        return _aws_json({"name": name, "value": self.settings[name]})

    def _templates(self, asked: Asked) -> Reply:
        del asked
        return _aws_json({"registryId": ACCOUNT, "repositoryCreationTemplates": self.templates})

    def _assume_role(self, asked: Asked) -> Reply:
        form = parse_qs(asked.read().decode())
        try:
            self.identity_provider.verified(form["WebIdentityToken"][0], AUDIENCE)
        except jwt.InvalidAudienceError:
            return _sts_refusal("InvalidIdentityToken", "Incorrect token audience")
        except jwt.ExpiredSignatureError:
            return _sts_refusal("ExpiredTokenException", "Token expired")
        except jwt.InvalidTokenError as error:
            return _sts_refusal("InvalidIdentityToken", str(error))
        if form["RoleArn"] != [ROLE]:
            said = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            return _sts_refusal("AccessDenied", said, status=403)
        self.shown += form["WebIdentityToken"]
        return self._session(asked.forward())

    def _session(self, said: Reply) -> Reply:
        if self.session_lifetime_s is None:
            return said
        ends = datetime.now(UTC) + timedelta(seconds=self.session_lifetime_s)
        text = f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration>".encode()
        return Reply(said.status, said.headers, re.sub(rb"<Expiration>.*?</Expiration>", text, said.body))


def _forward(asked: Asked) -> Reply:
    """Forward to moto, and write its refusals of keys and policies as ECR's API does: they come as XML."""
    said = asked.forward()
    code = re.search(rb"<Code>(\w+)</Code>", said.body)
    message = re.search(rb"<Message>(.*?)</Message>", said.body)
    if "X-Amz-Target" not in asked.headers or not (code and message):
        return said
    names = {"AccessDenied": "AccessDeniedException", "SignatureDoesNotMatch": "InvalidSignatureException"}
    names["InvalidClientTokenId"] = names["AuthFailure"] = "UnrecognizedClientException"
    name = code[1].decode()
    return aws_refusal(names.get(name, name), message[1].decode())


def aws_refusal(code: str, message: str, *, status: int = 400, date: str | None = None) -> Reply:
    """Return an error as ECR's API writes it."""
    reply = json_reply(status, {"__type": code, "message": message})
    return Reply(status, {**reply.headers, **({"Date": date} if date else {})}, reply.body)


def _aws_json(document: object, like: Reply | None = None) -> Reply:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        **({"Date": like.headers["Date"]} if like else {}),
    }
    return Reply(200, headers, json.dumps(document).encode())


def _sts_refusal(code: str, message: str, *, status: int = 400) -> Reply:
    text = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
    return Reply(status, {"Content-Type": "text/xml"}, text.encode())


@contextmanager
def running_moto(folder: Path) -> Iterator[ControlPlane]:
    """Run moto for as long as the `with` block lasts."""
    port = free_port()
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    log = folder / "moto.log"
    process = detached.start(command, log=log, lifetime_s=LIFETIME_S)
    try:
        detached.wait_until_ready("moto", lambda: _answers(port), process=process, log=log)
        plane = ControlPlane(port)
        plane.administrator = plane.make_user("*")  # made while moto asks nobody for a password
        yield plane
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5).ok
    except requests.RequestException:
        return False
