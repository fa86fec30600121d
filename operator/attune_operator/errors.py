"""Errors of the operator, all in one tree; the Kubernetes API's answers are translated into it at one edge.

AttuneError
├── UnreadableError         the status of an object has something that this version cannot read
└── APIError                the API server refused or could not be reached
    ├── NotFoundError       404: the object is not there
    ├── ConflictError       409: somebody wrote the object since it was read
    ├── AlreadyExistsError  409: an object of that name is there already
    ├── ForbiddenError      403: RBAC, quota or an admission plugin says no
    ├── InvalidError        400, 422: the API server does not accept the object
    └── UnavailableError    429, 5xx, time-outs: try again later
"""


class AttuneError(Exception):
    """Anything that the operator raises itself."""


class UnreadableError(AttuneError):
    """The status of an object has something that this version cannot read: it is never written over."""


class APIError(AttuneError):
    """The API server's refusal; `str()` is the server's own sentence."""


class NotFoundError(APIError):
    """The object is not there."""


class ConflictError(APIError):
    """The object changed since it was read: read afresh and decide again."""


class AlreadyExistsError(APIError):
    """An object of that name is there already."""


class ForbiddenError(APIError):
    """RBAC, a quota or an admission plugin says no."""


class InvalidError(APIError):
    """The API server does not accept the object."""


class UnavailableError(APIError):
    """The API server is overloaded or unreachable.

    Args:
        message: the server's own sentence.
        retry_after: seconds that it asks to be left in peace for.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
