"""What Google's Artifact Analysis has noted of images: Container Analysis' list of occurrences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.clouds.front import Asked
from tests.support.loopback import Reply, json_reply

LIST = "containeranalysis.occurrences.list"
FILTER = re.compile(r'kind="(?P<kind>\w+)" AND resourceUrl="(?P<image>https://[^"]+@sha256:[0-9a-f]{64})"')


@dataclass(slots=True)
class ContainerAnalysis:
    """The occurrences of one project; everything that a test may change is a field."""

    noted: list[Mapping[str, object]] = field(default_factory=list)
    page_size: int = 100
    """The most that one answer holds, whatever the client asks for."""

    def analysed(self, image: str, status: str = "FINISHED_SUCCESS", **more: object) -> None:
        """Note how far the analysis of an image is; more than its state by the names of the API."""
        discovery = {"analysisStatus": status, "continuousAnalysis": "ACTIVE", **more}
        self._note("DISCOVERY", image, "projects/goog-analysis/notes/PACKAGE_VULNERABILITY", discovery)

    def found(  # noqa: PLR0913 - each of them is plain at the call
        self,
        image: str,
        name: str,
        package: str,
        version: str,
        severity: str,
        *,
        fixed: str | None = None,
        **more: object,
    ) -> None:
        """Note a vulnerability as Google does, in a package of Debian."""
        mended = {"kind": "NORMAL", "fullName": fixed} if fixed else {"kind": "MAXIMUM"}
        issue = {
            "affectedCpeUri": "cpe:/o:debian:debian_linux:12",
            "affectedPackage": package,
            "affectedVersion": {"name": version, "kind": "NORMAL", "fullName": version},
            "fixedPackage": package,
            "fixedVersion": mended,
            "fixAvailable": fixed is not None,
            "effectiveSeverity": severity,
            "packageType": "OS",
        }
        details = {"shortDescription": name, "severity": "MEDIUM", "packageIssue": [issue], **more}
        self._note("VULNERABILITY", image, f"projects/goog-vulnz/notes/{name}", details)

    def answer(self, asked: Asked) -> Reply:
        """Return a page of what is noted under the filter."""
        wanted = FILTER.fullmatch(asked.query.get("filter", ""))
        if wanted is None:
            said = "Invalid filter."
            return json_reply(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": said}})
        fitting = [
            each
            for each in self.noted
            if (each["kind"], each["resourceUri"]) == (wanted["kind"], wanted["image"])
        ]
        begin = int(asked.query.get("pageToken", "0"))
        end = begin + min(self.page_size, int(asked.query.get("pageSize", "20")))
        following = {"nextPageToken": str(end)} if end < len(fitting) else {}
        return json_reply(200, {"occurrences": fitting[begin:end], **following} if fitting else {})

    def _note(self, kind: str, image: str, note: str, details: Mapping[str, object]) -> None:
        self.noted.append(
            {
                "name": f"projects/demo/occurrences/{len(self.noted)}",
                "resourceUri": f"https://{image}",
                "noteName": note,
                "kind": kind,
                "createTime": "2026-11-20T10:00:00.123456789Z",
                "updateTime": "2026-11-21T10:00:00.123456789Z",
                kind.lower(): details,
            }
        )
