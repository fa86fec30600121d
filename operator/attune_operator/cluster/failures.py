"""The API server's answers, translated into the operator's errors at this one edge."""

import json

from attune_operator.errors import (
    AlreadyExistsError,
    APIError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

_BY_STATUS: dict[int, type[APIError]] = {
    400: InvalidError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    422: InvalidError,
}


def refusal(status: int, method: str, path: str, body: str, retry_after: str = "") -> APIError:
    """The error for an HTTP answer.

    Args:
        status: the HTTP status, or 0 where there was no answer.
        method: the verb, for the message.
        path: what it was about, for the message.
        body: the answer; a `Status` object's message and reason are taken from it.
        retry_after: the header Retry-After, with 429 and 5xx; API servers send whole seconds.
    """
    message, reason = _status(body)
    text = f"{method} {path.partition('?')[0]}: {message}"
    if status == 409 and reason == "AlreadyExists":  # noqa: PLR2004 - HTTP
        return AlreadyExistsError(text)
    if kind := _BY_STATUS.get(status):
        return kind(text)
    return UnavailableError(text, float(retry_after) if retry_after.isdecimal() else 0.0)


def _status(body: str) -> tuple[str, str]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return body[:500], ""
    if not isinstance(parsed, dict):
        return body[:500], ""
    return str(parsed.get("message", body[:500])), str(parsed.get("reason", ""))
