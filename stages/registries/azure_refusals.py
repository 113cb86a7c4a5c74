"""What azure-identity's and azure-containerregistry's exceptions mean for a push, each with what to do.

Source: Microsoft, "Microsoft Entra authentication and authorization error codes".
"""

import re

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.registries.azure_session import AzureSession
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing

CODE = re.compile(r"AADSTS(\d+): ?(.*?)(?: Trace ID:|\r|\n|$)", re.DOTALL)
FEDERATIONS = frozenset({"70021", "700211", "700212", "700213", "7002137", "7002138", "50013", "700030"})
BUSY = frozenset({"90033", "50196", "90055"})
NAMES = (
    "Check client and tenant (`login:`, AZURE_CLIENT_ID, AZURE_TENANT_ID): `az identity show --name NAME "
    "--resource-group GROUP --query clientId` says the one, `az account show --query tenantId` the other."
)
NO_TENANT = "Unable to get authority configuration"
CREDENTIALS = (
    "`az identity federated-credential list --identity-name NAME --resource-group GROUP` shows both."
)
EXPLAINED = "The code is explained at https://login.microsoftonline.com/error."
MEANINGS: tuple[tuple[frozenset[str], str, str], ...] = (
    (
        frozenset({"7000222"}),
        "the client secret has expired",
        (
            "Make a new one, `az ad app credential reset --id CLIENT_ID --append`, and put its `password` "
            "into AZURE_CLIENT_SECRET. In CI `login:` needs none."
        ),
    ),
    (
        frozenset({"7000215", "50034", "50126"}),
        "Azure refused the secret or password",
        "AZURE_CLIENT_SECRET is a secret's value, not its ID. In CI `login:` needs none.",
    ),
    (
        frozenset({"700027"}),
        "Azure does not know the certificate that signs for this application",
        (
            "AZURE_CLIENT_CERTIFICATE_PATH has to name one that was uploaded to it: `az ad app credential "
            "list --id CLIENT_ID --cert`."
        ),
    ),
    (
        frozenset({"700024", "50027"}),
        "Azure says that a token or signature of this job or machine is too old, or not valid yet",
        (
            "Look at the clock (`timedatectl`; `timedatectl set-ntp true` sets it). If it is right, the "
            "job's identity token has ended: in GitLab raise the job's `timeout:`."
        ),
    ),
    (
        frozenset({"50076", "50078", "50079", "50173", "65001", "70043", "700082", "700084"}),
        "Azure wants you to log in again",
        "Run `az login`.",
    ),
    (
        frozenset({"700016", "90002", "900021", "900023"}),
        "Azure does not know who we say we are",
        NAMES,
    ),
)
"""Codes of Entra, what they mean, and what to do."""
SAYS = "Credential: "
NOT_CONFIGURED = re.compile(r"unavailable|is not installed|package to be installed|could not be found")
"""What azure-identity says of the ways in that nobody has set up: all of them but one or two."""
NO_WAY = re.compile(r"HTTPSConnectionPool|certificate verify failed|Max retries exceeded|Unable to connect")


def refusal(error: Exception, session: AzureSession, doing: str) -> RemoteError:
    """Return our error for one of azure-core's; `doing` completes "cannot …"."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

    text = str(error)
    if (found := CODE.search(text)) is not None:
        return _by_code(found[1], f"AADSTS{found[1]}: {_short(found[2])}", session)
    if NO_TENANT in text:
        return RemoteError(f"{session.host}: Azure knows no such tenant", advice=NAMES)
    if NO_WAY.search(text) or not isinstance(error, HttpResponseError):
        return _unreachable(text, session, doing, by_tls=isinstance(error, ServiceRequestError))
    if isinstance(error, ClientAuthenticationError) and error.status_code is None:
        return _no_login(text, session)
    return _by_status(error.status_code or 0, error.message, session, doing)


def _by_status(status: int, said: str, session: AzureSession, doing: str) -> RemoteError:
    if status in {401, 403}:
        return permission_missing(
            session, f"cannot {doing}: {session.name or 'this login'} is not allowed to"
        )
    if status == 429 or status >= 500:
        return TemporaryRemoteError(
            f"{session.host}: cannot {doing}: Azure is busy ({status})",
            advice="Too many calls at a time, or Azure has a bad day. Run again later.",
        )
    return RemoteError(
        f"{session.host}: cannot {doing}: {_short(said)}", advice="Mend `registries` or `image`."
    )


def permission_missing(session: AzureSession, what: str) -> PermissionMissing:
    """Return the error for an identity that Azure knows and the registry does not let do this."""
    registry = session.host.partition(".")[0].partition("-")[0]
    return PermissionMissing(
        f"{session.host}: {what}",
        advice=f"{session.name or 'That identity'} needs the role AcrPush on the registry, or Container "
        "Registry Repository Writer where permissions are given by repository (ABAC):\n"
        f"az role assignment create --role AcrPush --assignee {session.name or 'IDENTITY'} "
        f'--scope "$(az acr show --name {registry} --query id --output tsv)"\n'
        "A new assignment counts after some minutes. For ABAC docs/registries.md has the command.",
    )


def _by_code(code: str, said: str, session: AzureSession) -> RemoteError:
    if code in FEDERATIONS:
        return _not_federated(said, session)
    if code in BUSY:
        return TemporaryRemoteError(f"{session.host}: Azure is busy: {said}", advice="Run again later.")
    for codes, meaning, advice in MEANINGS:
        if code in codes:
            return RemoteError(f"{session.host}: {meaning}: {said}", advice=advice)
    return RemoteError(f"{session.host}: Azure does not let us in: {said}", advice=EXPLAINED)


def _not_federated(said: str, session: AzureSession) -> RemoteError:
    told = f" The job's token says: {session.token.claims}." if session.token else ""
    if "assertion audience" in said.lower():
        return RemoteError(
            f"{session.host}: Azure does not accept the audience of the job's identity token: {said}",
            advice=f"The federated credential and the token have to name the same audience, as a rule "
            f"{session.cloud.audience!r} (`login.audience`; in GitLab `aud:`). {CREDENTIALS}{told}",
        )
    return RemoteError(
        f"{session.host}: Azure knows no federated credential for this job: {said}",
        advice=f"Its issuer and subject have to be the token's to the letter, and to the case. "
        f"{CREDENTIALS}{told}",
    )


def _unreachable(text: str, session: AzureSession, doing: str, *, by_tls: bool) -> RemoteError:
    if "certificate verify failed" in text or (by_tls and "SSL" in text):
        return RemoteError(
            f"{session.host}: no trusted TLS connection to Azure",
            advice="Name the file of your own certificate authority, if you have one, in REQUESTS_CA_BUNDLE.",
        )
    return TemporaryRemoteError(
        f"{session.host}: cannot {doing}: Azure could not be reached",
        advice="Check the network, HTTPS_PROXY and NO_PROXY.",
    )


def _no_login(text: str, session: AzureSession) -> NoCloudLogin:
    attempts = (line.strip().removesuffix(".").partition(": ") for line in text.splitlines() if SAYS in line)
    told = (f"{who}: {why}" for who, _, why in attempts if not NOT_CONFIGURED.search(why))
    reasons = "; ".join(_short(line.partition(". ")[0], 120) for line in told)
    return NoCloudLogin(
        f"{session.host}: there are no Azure credentials" + (f" ({reasons})" if reasons else ""),
        advice="Here: `az login`, AZURE_CLIENT_ID with AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or "
        f"`docker login {session.host}`. In CI: `login:` with `client_id` and `tenant_id`, and in GitHub "
        "`permissions:` with `id-token: write` (docs/registries.md).",
    )


def _short(text: str, length: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"
