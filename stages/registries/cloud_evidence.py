"""What a cloud's own API says of an image after its push, beside what the registry says."""

from collections.abc import Callable, Mapping

from pipeline.model import RegistryEvidence
from stages.oci.distribution import RepositoryClient
from stages.oci.image_content import ImageContent
from stages.oci.retries import Retries
from stages.registries.cloud_errors import CANNOT_ASK
from stages.registries.distribution_api import read_back

PATIENCE = Retries(attempts=4)  # an image shows up in a cloud's API a moment after it was pushed


def confirmed(
    client: RepositoryClient,
    content: ImageContent,
    look: Callable[[], Mapping[str, object]],
    *,
    cloud: str,
    question: str,
) -> RegistryEvidence:
    """Read the image back, and add what the cloud's API knows of it: fields of the evidence, by their names.

    The API may show an image a moment late, so `look` is asked again while what it raises is temporary. Where
    it may not be asked at all, the evidence says why.

    Raises:
        RemoteError: the registry or the cloud holds something else than what was pushed.
    """
    evidence = read_back(client, content)
    try:
        known = PATIENCE.run(look, client.transport.stopped, client.say)
    except CANNOT_ASK as error:
        return evidence.model_copy(update={"notes": (f"{question}: {error.message}",)})
    return evidence.model_copy(update={**known, "asked": f"{evidence.asked}; {cloud}: {question}"})
