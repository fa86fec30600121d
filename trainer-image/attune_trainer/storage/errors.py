"""The one edge where botocore's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore import exceptions

from attune_trainer.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    StageError,
    StoreUnreachableError,
)

_NOT_FOUND = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_DENIED = {
    "403",
    "401",
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "Forbidden",
    "XAdminUserNotFound",  # versitygw's InvalidAccessKeyId
}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError", "ServiceUnavailable"}
_SERVER_ERROR = 500
_TOO_MANY = 429


@contextmanager
def translated(uri: str, whose: str) -> Iterator[None]:
    """Turns whatever boto3 raises inside into an error of the tree.

    Args:
        uri: what was asked for.
        whose: where the keys came from, for the message: `credentials from Secret data-store (spec.…)`.

    Raises:
        StageError: one of its kinds; chained to the original.
    """
    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(error, uri, whose) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise AccessDeniedError(
            f"{uri}: there are no keys to ask the store with ({whose}): name a Secret, or give the pod an identity"
        ) from error
    except exceptions.ParamValidationError as error:
        raise BucketNotFoundError(f"{uri}: that cannot be the name of a bucket: {error}") from error
    except (exceptions.BotoCoreError, Boto3Error, OSError) as error:
        raise _of_connection(error, uri, whose) from error


def _of_answer(error: exceptions.ClientError, uri: str, whose: str) -> StageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return BucketNotFoundError(f"{uri}: the store has no bucket of that name ({whose})")
    if code in _NOT_FOUND:
        return ObjectNotFoundError(f"{uri}: no such object ({whose})")
    if code in _DENIED:
        return AccessDeniedError(f"{uri}: the store refuses: {_words(error)} ({whose})")
    if code in _BUSY or status >= _SERVER_ERROR or status == _TOO_MANY:
        return StoreUnreachableError(f"{uri}: the store answers {status or code}: {_words(error)}")
    return AccessDeniedError(f"{uri}: the store does not accept the request: {_words(error)} ({whose})")


def _of_connection(error: Exception, uri: str, whose: str) -> StageError:
    cause = error.__cause__ or error.__context__
    if isinstance(error, Boto3Error) and isinstance(cause, exceptions.ClientError):
        return _of_answer(cause, uri, whose)
    return StoreUnreachableError(f"{uri}: the store cannot be reached: {error}")


def _words(error: exceptions.ClientError) -> str:
    body = error.response.get("Error", {})
    return f"{body.get('Code', '?')} {body.get('Message', '')}".strip()
