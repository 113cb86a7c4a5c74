"""Real, public advisories: enough of them for a scanner to have something true to say about small images.

Facts only: package, identifier, affected and fixed versions, severity. The titles are our own words. Each
row was compared on 22 November 2026 with public copies; rows that could not be confirmed were left out.
The copies are of different ages, so a publisher may have changed a record since: this is data for tests,
not a feed.

Python packages: records of the GitHub Advisory Database (its MODERATE is MEDIUM here) in copies made from
2021 on, the newest where several were found. Of CVE-2025-43859 no copy of the record was found; published
scan results and write-ups agree on it. PYSEC-2021-857 is a record of the Python Packaging Advisory
Database.

Debian 12: security advisories, and published scan results of Debian 12 images, which rest on Debian's
security tracker. Severities are those of the scan results; that of CVE-2023-4911 is of its CVE record.
Flaws without a fix had none in a scan of Debian 12.15 on 30 September 2026; those of krb5 and sqlite3 had
none in a scan of Debian 12.11 on 2 August 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]


@dataclass(frozen=True, slots=True)
class PythonAdvisory:
    """An advisory about a package of the Python Package Index."""

    package: str
    identifier: str
    affected: tuple[str, ...]
    """Ranges, each like `>=2.0.0, <2.0.6`; a version in any of them is affected."""
    fixed: tuple[str, ...]
    severity: Severity
    title: str


@dataclass(frozen=True, slots=True)
class DebianAdvisory:
    """An advisory about a source package of Debian 12."""

    package: str
    identifier: str
    fixed: str | None
    """The first version without the flaw; None where Debian 12 had no fix."""
    severity: Severity
    title: str


def _python(package: str, identifier: str, versions: str, severity: Severity, title: str) -> PythonAdvisory:
    """Read `<1.26.17 -> 1.26.17; >=2.0.0, <2.0.6 -> 2.0.6` as affected ranges and their fixed versions."""
    pairs = [pair.split(" -> ") for pair in versions.split("; ")]
    affected, fixed = zip(*pairs, strict=True)
    return PythonAdvisory(package, identifier, affected, fixed, severity, title)


@dataclass(frozen=True, slots=True)
class Detail:
    """What the National Vulnerability Database says of an identifier."""

    cvss_score: float
    cvss_vector: str
    published_at: str
    references: tuple[str, ...]


DETAILS = {
    "CVE-2020-14343": Detail(
        9.8,
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "2021-02-09T21:15:00Z",
        ("https://nvd.nist.gov/vuln/detail/CVE-2020-14343",),
    )
}

PYTHON_ADVISORIES = (
    _python("pyyaml", "CVE-2020-14343", "<5.4 -> 5.4", "CRITICAL", "full_load runs code of untrusted YAML"),
    _python(
        "requests", "CVE-2018-18074", "<=2.19.1 -> 2.20.0", "HIGH", "Authorization header sent to plain HTTP"
    ),
    _python(
        "requests", "CVE-2023-32681", ">=2.3.0, <2.31.0 -> 2.31.0", "MEDIUM", "Proxy-Authorization is leaked"
    ),
    _python(
        "requests", "CVE-2024-35195", "<2.32.0 -> 2.32.0", "MEDIUM", "verify=False sticks to the session"
    ),
    _python(
        "requests", "CVE-2024-47081", "<2.32.4 -> 2.32.4", "MEDIUM", "netrc credentials sent to another host"
    ),
    _python("jinja2", "CVE-2019-10906", "<2.10.1 -> 2.10.1", "HIGH", "Sandbox escape through str.format_map"),
    _python("jinja2", "CVE-2020-28493", "<2.11.3 -> 2.11.3", "MEDIUM", "Denial of service in urlize"),
    _python("jinja2", "CVE-2024-22195", "<3.1.3 -> 3.1.3", "MEDIUM", "xmlattr takes keys with spaces"),
    _python(
        "jinja2", "CVE-2024-34064", "<3.1.4 -> 3.1.4", "MEDIUM", "xmlattr takes keys that are not attributes"
    ),
    _python(
        "jinja2", "CVE-2024-56326", "<3.1.5 -> 3.1.5", "MEDIUM", "Sandbox escape through indirect str.format"
    ),
    _python(
        "jinja2", "CVE-2025-27516", "<3.1.6 -> 3.1.6", "MEDIUM", "Sandbox escape through the attr filter"
    ),
    _python(
        "urllib3",
        "CVE-2021-33503",
        ">=1.25.4, <1.26.5 -> 1.26.5",
        "HIGH",
        "Slow authority regular expression",
    ),
    _python(
        "urllib3",
        "CVE-2023-43804",
        "<1.26.17 -> 1.26.17; >=2.0.0, <2.0.6 -> 2.0.6",
        "HIGH",
        "Cookie header kept on redirects to other hosts",
    ),
    _python(
        "urllib3",
        "CVE-2024-37891",
        "<1.26.19 -> 1.26.19; >=2.0.0, <2.2.2 -> 2.2.2",
        "MEDIUM",
        "Proxy-Authorization header kept on redirects to other hosts",
    ),
    _python(
        "urllib3", "CVE-2025-50181", "<2.5.0 -> 2.5.0", "MEDIUM", "Redirects followed although switched off"
    ),
    # The Python Packaging Advisory Database gives no severity; the scanner then reports UNKNOWN.
    _python("numpy", "PYSEC-2021-857", "<1.19.0 -> 1.19.0", "UNKNOWN", "Buffer overflow in array_from_pyobj"),
    _python("starlette", "CVE-2023-30798", "<0.25.0 -> 0.25.0", "HIGH", "Unbounded number of form fields"),
    _python(
        "starlette", "CVE-2024-47874", "<0.40.0 -> 0.40.0", "HIGH", "Form fields are buffered without a limit"
    ),
    _python(
        "starlette", "CVE-2025-54121", "<0.47.2 -> 0.47.2", "MEDIUM", "Large uploads block the event loop"
    ),
    _python(
        "starlette",
        "CVE-2025-62727",
        ">=0.39.0, <0.49.1 -> 0.49.1",
        "HIGH",
        "Quadratic Range header parsing",
    ),
    _python(
        "fastapi",
        "CVE-2021-32677",
        "<0.65.2 -> 0.65.2",
        "HIGH",
        "Cross-site request forgery with JSON bodies",
    ),
    _python("python-multipart", "CVE-2024-24762", "<=0.0.6 -> 0.0.7", "HIGH", "Slow Content-Type expression"),
    _python(
        "python-multipart",
        "CVE-2024-53981",
        "<0.0.18 -> 0.0.18",
        "HIGH",
        "Excessive logging before a boundary",
    ),
    _python("uvicorn", "CVE-2020-7695", "<0.11.7 -> 0.11.7", "HIGH", "HTTP response splitting"),
    _python(
        "h11",
        "CVE-2025-43859",
        "<0.16.0 -> 0.16.0",
        "CRITICAL",
        "Lenient chunked encoding: request smuggling",
    ),
    _python(
        "aiohttp",
        "CVE-2024-23334",
        ">=1.0.5, <3.9.2 -> 3.9.2",
        "HIGH",
        "Path traversal with follow_symlinks",
    ),
    _python(
        "aiohttp", "CVE-2024-30251", "<3.9.4 -> 3.9.4", "HIGH", "Endless loop on malformed POST requests"
    ),
    _python("aiohttp", "CVE-2025-53643", "<3.12.14 -> 3.12.14", "LOW", "Request smuggling through trailers"),
    _python("orjson", "CVE-2024-27454", "<3.9.15 -> 3.9.15", "HIGH", "Unlimited recursion in loads"),
    _python(
        "pydantic",
        "CVE-2024-3772",
        "<1.10.13 -> 1.10.13; >=2.0.0, <2.4.0 -> 2.4.0",
        "MEDIUM",
        "Slow e-mail check",
    ),
    _python("certifi", "CVE-2022-23491", ">=2017.11.5, <2022.12.7 -> 2022.12.7", "MEDIUM", "TrustCor roots"),
    _python("certifi", "CVE-2023-37920", ">=2015.4.28, <2023.7.22 -> 2023.7.22", "HIGH", "e-Tugra roots"),
    _python("idna", "CVE-2024-3651", "<3.7 -> 3.7", "MEDIUM", "Denial of service in encode"),
    _python(
        "setuptools",
        "CVE-2022-40897",
        "<65.5.1 -> 65.5.1",
        "HIGH",
        "Slow regular expression in package_index",
    ),
    _python(
        "setuptools", "CVE-2024-6345", "<70.0.0 -> 70.0.0", "HIGH", "Code execution through package URLs"
    ),
    _python(
        "setuptools", "CVE-2025-47273", "<78.1.1 -> 78.1.1", "HIGH", "Path traversal in PackageIndex.download"
    ),
    _python(
        "pip", "CVE-2023-5752", "<23.3 -> 23.3", "MEDIUM", "Mercurial options injected through a revision"
    ),
    _python("pip", "CVE-2025-8869", "<25.3 -> 25.3", "MEDIUM", "Archive links may point outside the target"),
    _python(
        "scikit-learn", "CVE-2024-5206", "<1.5.0 -> 1.5.0", "MEDIUM", "TfidfVectorizer keeps training tokens"
    ),
    _python("joblib", "CVE-2022-21797", "<1.2.0 -> 1.2.0", "CRITICAL", "pre_dispatch is evaluated as code"),
    _python(
        "torch", "CVE-2025-32434", "<2.6.0 -> 2.6.0", "CRITICAL", "torch.load runs code despite weights_only"
    ),
    _python(
        "mlflow", "CVE-2023-1177", "<2.2.1 -> 2.2.1", "CRITICAL", "Files of the server can be read remotely"
    ),
    _python("tornado", "CVE-2024-52804", "<6.4.2 -> 6.4.2", "HIGH", "Quadratic cookie parsing"),
    _python("tornado", "CVE-2025-47287", "<6.5 -> 6.5", "HIGH", "Excessive logging from multipart forms"),
    _python(
        "gunicorn", "CVE-2024-1135", "<22.0.0 -> 22.0.0", "HIGH", "Request smuggling by Transfer-Encoding"
    ),
    _python("werkzeug", "CVE-2024-34069", "<3.0.3 -> 3.0.3", "HIGH", "Debugger runs code of another site"),
    _python(
        "flask",
        "CVE-2023-30861",
        "<2.2.5 -> 2.2.5; >=2.3.0, <2.3.2 -> 2.3.2",
        "HIGH",
        "Session cookie cached",
    ),
    _python(
        "tqdm", "CVE-2024-34062", ">=4.4.0, <4.66.3 -> 4.66.3", "LOW", "Command line arguments are evaluated"
    ),
)

DEBIAN_ADVISORIES = (
    # Common in Debian 12 images, and without a fix there.
    DebianAdvisory("zlib", "CVE-2023-45853", None, "CRITICAL", "Integer overflow in MiniZip"),
    DebianAdvisory("apt", "CVE-2011-3374", None, "LOW", "apt-key does not check signatures well enough"),
    DebianAdvisory(
        "bash", "TEMP-0841856-B18BAF", None, "LOW", "Privileges of a user other than root can be gained"
    ),
    DebianAdvisory("coreutils", "CVE-2016-2781", None, "LOW", "chroot --userspec gives away the session"),
    DebianAdvisory("coreutils", "CVE-2017-18018", None, "LOW", "Race in chown and chgrp"),
    DebianAdvisory("glibc", "CVE-2010-4756", None, "LOW", "glob uses much memory and time"),
    DebianAdvisory("glibc", "CVE-2018-20796", None, "LOW", "Uncontrolled recursion in regexec"),
    DebianAdvisory("glibc", "CVE-2019-1010022", None, "LOW", "Stack guard protection bypass"),
    DebianAdvisory("glibc", "CVE-2019-9192", None, "LOW", "Uncontrolled recursion in regexec"),
    DebianAdvisory("gcc-12", "CVE-2022-27943", None, "LOW", "Uncontrolled recursion in the demangler"),
    DebianAdvisory("gnupg2", "CVE-2022-3219", None, "LOW", "Denial of service by crafted signatures"),
    DebianAdvisory("gnutls28", "CVE-2011-3389", None, "LOW", "Chosen-plaintext attack on CBC (BEAST)"),
    DebianAdvisory("krb5", "CVE-2018-5709", None, "LOW", "Integer overflow in the database's dump reader"),
    DebianAdvisory("libgcrypt20", "CVE-2018-6829", None, "LOW", "ElGamal encryption leaks information"),
    DebianAdvisory("ncurses", "CVE-2023-50495", None, "MEDIUM", "Fault in _nc_wrap_entry"),
    DebianAdvisory("perl", "CVE-2011-4116", None, "LOW", "File::Temp handles symbolic links unsafely"),
    DebianAdvisory("shadow", "CVE-2007-5686", None, "LOW", "Initial log files are readable by all"),
    DebianAdvisory("shadow", "TEMP-0628843-DBAD28", None, "LOW", "More cases of CVE-2005-4890"),
    DebianAdvisory("sqlite3", "CVE-2021-45346", None, "LOW", "Deleted data may be read again"),
    DebianAdvisory("systemd", "CVE-2013-4392", None, "LOW", "Race when permissions are changed"),
    DebianAdvisory("tar", "CVE-2005-2541", None, "LOW", "setuid files are extracted without a warning"),
    DebianAdvisory("util-linux", "CVE-2022-0563", None, "LOW", "chfn and chsh disclose files"),
    # Fixed in Debian 12: found only in images that were built long ago.
    DebianAdvisory("expat", "CVE-2024-45491", "2.5.0-1+deb12u1", "CRITICAL", "Integer overflow"),
    DebianAdvisory("glibc", "CVE-2023-4911", "2.36-9+deb12u3", "HIGH", "Overflow in GLIBC_TUNABLES"),
    DebianAdvisory("glibc", "CVE-2024-2961", "2.36-9+deb12u6", "HIGH", "Out-of-bounds write in iconv"),
    DebianAdvisory(
        "krb5", "CVE-2024-37371", "1.20.1-2+deb12u2", "CRITICAL", "Invalid reads in message tokens"
    ),
    DebianAdvisory(
        "openssl", "CVE-2024-5535", "3.0.15-1~deb12u1", "CRITICAL", "Over-read in SSL_select_next_proto"
    ),
    DebianAdvisory("shadow", "CVE-2023-4641", "1:4.13+dfsg1-1+deb12u1", "MEDIUM", "Password kept in memory"),
    DebianAdvisory(
        "sqlite3", "CVE-2023-7104", "3.40.1-2+deb12u1", "HIGH", "Overflow in the session extension"
    ),
)
