"""One file per system of the line, each with its whole forward path; and the table of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from sightline.models.seq2seq import Seq2Seq, Seq2SeqSizes
from sightline.models.transformer import Transformer, TransformerSizes

EncoderDecoderSizes = Annotated[Seq2SeqSizes | TransformerSizes, Field(discriminator="kind")]

ENCODER_DECODERS = {"seq2seq": Seq2Seq, "transformer": Transformer}


def make_encoder_decoder(source_vocab: int, target_vocab: int, sizes: Seq2SeqSizes | TransformerSizes) -> nn.Module:
    """The encoder–decoder that `sizes.kind` names, freshly initialised from the global generator."""
    return ENCODER_DECODERS[sizes.kind](source_vocab, target_vocab, sizes)  # pyright: ignore[reportArgumentType]
