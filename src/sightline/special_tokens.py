"""The special tokens of every tokenizer: their spellings, and the ids that all models and batches rely on."""

from __future__ import annotations

from typing import Final

PAD_ID: Final = 0
BOS_ID: Final = 1
EOS_ID: Final = 2
UNK_ID: Final = 3  # only of tokenizers whose vocabulary holds an unknown token

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"

# BERT's [CLS] and [SEP] (Devlin et al. 2019) are the beginning and the end of a sequence.
CLS_ID: Final = BOS_ID
SEP_ID: Final = EOS_ID
