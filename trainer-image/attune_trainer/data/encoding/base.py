"""What every encoder can do: the one place that knows what of a row the model learns.

Preflight counts with an encoder, training and evaluation run on it, so that what was counted is what is trained on.
No torch here.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from attune_trainer.data.examples import Example
from attune_trainer.data.problems import Finding
from attune_trainer.errors import InvalidDataError

IGNORED = -100
"""Label of a token that has no part in the loss (torch's `ignore_index`)."""
E_contra = TypeVar("E_contra", bound=Example, contravariant=True)


class TemplateError(InvalidDataError):
    """The chat template does not take this conversation."""


LEFT_OUT = (
    "the model's chat template leaves out or changes an assistant's message, so the model would not learn what the row "
    "says; give a template that writes the whole message as spec.model.chatTemplate, or leave the row out"
)
"""Message where what is to be learnt is not in what the template writes."""


class RowEncoder(Protocol[E_contra]):
    """From rows of one kind to token ids, for one model.

    Each kind has an `encode(row)` of its own beside these, with what its method needs.
    """

    @property
    def tokenizer(self) -> Any:
        """A fast tokenizer of transformers."""
        ...

    @property
    def sequence_length(self) -> int:
        """Tokens beyond it are cut off."""
        ...

    def lengths(self, rows: Sequence[E_contra]) -> list[int]:
        """Tokens of each row before cutting (of a pair: of the longer side); many at once, for speed.

        Raises:
            TemplateError: the chat template does not take one of the rows.
        """
        ...

    def finding(self, row: E_contra) -> Finding | None:
        """What only the tokens of a row show: `prompt_too_long` where nothing of the answer survives the cut.

        Raises:
            TemplateError: the chat template does not take the row.
        """
        ...
