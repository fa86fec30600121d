"""What the Poll stage says of training data: enough to tell whether it is another than before. No I/O."""

from attune_contract.base import Frozen, Reported


class KnownData(Frozen):
    """What the last Poll said: data with the same digest is the same, and its rows need not be counted again."""

    digest: str
    """As DataFacts has it."""
    rows: int
    """As DataFacts has them."""


class DataFacts(Reported):
    """The training data of a schedule at one moment."""

    digest: str
    """`sha256:…` over the sorted lines `<uri> <version>` of its objects; a version is the store's own (ETag)."""
    objects: int
    """Objects."""
    rows: int
    """Rows in them, good and bad."""
    size_bytes: int = 0
    """Bytes in them, as stored."""
