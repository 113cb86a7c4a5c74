"""What an MLflow server says when it does not give what was asked for, in words that help."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from stages.models.http_body import connection_named, refuse_status

LOGIN = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}


@contextmanager
def refusals_named(name: str) -> Iterator[None]:
    """Turn the library's exceptions into ours.

    Raises:
        ConfigurationError: there is no such model, version, alias or run.
        TemporaryRemoteError: the server is busy, or could not be reached.
        RemoteError: it refuses.
    """
    from mlflow.exceptions import MlflowException

    with connection_named(name):
        try:
            yield
        except MlflowException as error:
            raise _refusal(name, error.get_http_status_code(), str(error.error_code), str(error)) from error
        except requests.HTTPError as error:
            if error.response is not None:
                refuse_status(error.response, name, LOGIN)
            raise


def _refusal(name: str, status: int, code: str, message: str) -> PipelineError:
    if code in MISSING or status == 404:
        return ConfigurationError(f"there is no {name}: {message}", advice="Mend `model.source`.")
    if status in {401, 403}:
        return RemoteError(f"{name}: the MLflow server refuses ({status})", advice=LOGIN)
    return TemporaryRemoteError(
        f"{name}: the MLflow server could not be asked ({code})",
        advice="Check MLFLOW_TRACKING_URI and the network, and run again.",
    )
