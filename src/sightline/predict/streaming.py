"""Text that is being written, told piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sightline.data.tokenizer import Tokenizer

NEAR = 8  # tokens that tell how what comes after them is written
# A character that a byte-level piece may still be in the middle of.
INCOMPLETE = "\ufffd"


class Pieces:
    """What may be told of a text while its tokens come; what was told is never taken back.

    Args:
        text_of: the text of the tokens so far.
        held: how many characters at the end are kept back, since what follows may change them.
    """

    def __init__(self, text_of: Callable[[Sequence[int]], str], held: int = 0) -> None:
        self._text_of, self._held = text_of, held
        self._told = ""

    def more(self, tokens: Sequence[int]) -> str:
        """What these tokens, all so far, allow to be told beyond what was."""
        text = self._text_of(tokens).rstrip(INCOMPLETE)
        text = text[: max(0, len(text) - self._held)]
        # a decoder may take back what it told only where later pieces change it; those are held back
        if not text.startswith(self._told):
            return ""
        piece, self._told = text[len(self._told) :], text
        return piece

    def rest(self, text: str) -> str:
        """What remains to be told of the whole text."""
        return text[len(self._told) :]


def after(tokenizer: Tokenizer, read: Sequence[int], written: Sequence[int]) -> str:
    """The text of tokens after others: a first word may bring the space before it."""
    before, whole = tokenizer.decode(read), tokenizer.decode([*read, *written])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(written)
