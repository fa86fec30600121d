"""All shapes, by format, in the order in which they are tried."""

from attune_contract.abilities import formats_of
from attune_contract.enums import DataFormat, Method
from attune_trainer.data.formats import chat, preference, prompts, rated, texts
from attune_trainer.data.formats.base import Format

_SHAPES: dict[DataFormat, tuple[Format, ...]] = {
    DataFormat.CHAT: (chat.CHAT, chat.SHAREGPT),
    DataFormat.PROMPT_COMPLETION: (prompts.PROMPT_COMPLETION, prompts.ALPACA),
    DataFormat.PREFERENCE: (preference.EXPLICIT, preference.OPENAI, preference.IMPLICIT),
    DataFormat.RATED: (rated.RATED,),
    DataFormat.TEXT: (texts.TEXT,),
    DataFormat.LABELED: (texts.LABELED,),
}


def shapes_of(method: Method, name: DataFormat) -> tuple[Format, ...]:
    """The shapes that a method reads; where a format is given, only its own."""
    return tuple(shape for known in formats_of(method) if name in {known, DataFormat.AUTO} for shape in _SHAPES[known])
