"""What a cloud's own API may say no to, where somebody has to tell it from other refusals."""

from pipeline.errors import RemoteError


class NoCloudLogin(RemoteError):
    """Nothing on this machine says who we are to the cloud."""


class PermissionMissing(RemoteError):
    """The cloud knows us and does not let us do this; the message names the permission."""
