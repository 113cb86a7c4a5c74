"""What a cloud's own API may say no to, where somebody has to tell it from other refusals."""

from pipeline.errors import LoginMissing, RemoteError, ToolMissing


class NoCloudLogin(LoginMissing):
    """Nothing on this machine says who we are to the cloud."""


class PermissionMissing(RemoteError):
    """The cloud knows us and does not let us do this; the message names the permission."""


CANNOT_ASK = (NoCloudLogin, PermissionMissing, ToolMissing)
"""Why a cloud's own API may not be asked while the registry itself lets us in."""
