"""What a node has to fetch before it can start the container."""

from pipeline.model import BuiltImage, PlatformImage, Pull


def pull_of(image: BuiltImage, platform: PlatformImage, bandwidth_bytes_per_s: int | None) -> Pull:
    """Return the bytes of one platform's layers as they are pushed, and how long they take at a bandwidth."""
    layers = {each.digest: each.size_bytes for each in platform.application_layers}
    application = sum(layers.values())
    weights = {each.descriptor.digest: each.descriptor.size_bytes for each in image.weights}
    total = application + sum(weights.values())
    return Pull(
        total_bytes=total,
        application_bytes=application,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        estimated_s=None if not bandwidth_bytes_per_s else total / bandwidth_bytes_per_s,
    )
