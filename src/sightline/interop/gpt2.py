"""GPT-2 as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

import tokenizers
from pydantic import Field
from tokenizers import decoders, models, pre_tokenizers

from sightline.errors import DataError, UsageError
from sightline.interop.folders import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    ForeignRecord,
    activation_name,
    as_record,
    read_activation,
    read_json,
    read_record,
    read_text,
    require_fixed,
    write_folder,
)
from sightline.interop.tokenizer_json import (
    Component,
    ForeignTokenizer,
    Outgoing,
    TokenizerFile,
    TokenizerNotes,
    file_values,
    read_notes,
    read_tokenizer_file,
    to_ours,
    to_theirs,
    with_added,
)
from sightline.interop.weights import (
    Ignored,
    TensorFiles,
    WeightRow,
    for_layers,
    lay_out,
    linear,
    read_weights,
)
from sightline.models import GPT, GPTSizes
from sightline.special_tokens import BOS, EOS, PAD, UNK
from sightline.tasks.exchange import ExchangedModel

END_OF_TEXT = "<|endoftext|>"
BODY, OUTPUT = "transformer.", "lm_head.weight"
EMBEDDING = "transformer.wte.weight"
# GPT-2's linear maps are (in, out), those of its class Conv1D.
WEIGHTS: tuple[WeightRow, ...] = (
    WeightRow("embedding", (EMBEDDING,), by_token=True),
    WeightRow("positions.table", ("transformer.wpe.weight",)),
    *linear("norm", "transformer.ln_f"),
    *linear("blocks.#.self_norm", "transformer.h.#.ln_1"),
    *linear("blocks.#.self_attention", "transformer.h.#.attn.c_attn", transposed=True),
    *linear("blocks.#.self_attention.output", "transformer.h.#.attn.c_proj", transposed=True),
    *linear("blocks.#.feed_forward_norm", "transformer.h.#.ln_2"),
    *linear("blocks.#.feed_forward.inner", "transformer.h.#.mlp.c_fc", transposed=True),
    *linear("blocks.#.feed_forward.outer", "transformer.h.#.mlp.c_proj", transposed=True),
)
OUTPUT_ROW = WeightRow("output_weight", (OUTPUT,), by_token=True)
IGNORED = (
    Ignored(r"transformer\.h\.\d+\.attn\.bias", "the causal mask, which follows from the length"),
    Ignored(r"transformer\.h\.\d+\.attn\.masked_bias", "the constant that masked scores were set to"),
)
# What GPT-2 fixes and Sightline lets one choose, beside what all blocks have.
FIXED = {"pre_norm": True, "cutoffs": ()}
# Classes of transformers that build their own pre-tokeniser, whatever tokenizer.json says.
OWN_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")


class Notes(ForeignRecord):
    """What Sightline adds to a config.json."""

    documents: bool = True


class GPT2Config(ForeignRecord):
    """What is read of a GPT-2's config.json."""

    model_type: str
    architectures: list[str] | None = None
    vocab_size: int | None = None
    n_embd: int = Field(ge=1, lt=1 << 31)
    n_layer: int = Field(ge=1, lt=1 << 31)
    n_head: int = Field(ge=1, lt=1 << 31)
    n_inner: int | None = Field(None, ge=1, lt=1 << 31)
    n_positions: int = Field(1024, ge=2, lt=1 << 31)
    resid_pdrop: float = Field(0.1, ge=0, lt=1)
    attn_pdrop: float = Field(0.1, ge=0, lt=1)
    layer_norm_epsilon: float = Field(1e-5, gt=0)
    activation_function: str = "gelu_new"
    tie_word_embeddings: bool = True
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    add_cross_attention: bool = False
    sightline: Notes = Notes()

    def sizes(self, where: Path) -> GPTSizes:
        """Raises DataError for what a GPT cannot be."""
        if self.model_type != "gpt2":
            raise DataError(f"{where}: model_type is {self.model_type!r}, and must be 'gpt2'")
        for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
            if getattr(self, name):
                raise DataError(f"{where}: {name} is not supported")
        if not self.scale_attn_weights:
            raise DataError(f"{where}: scale_attn_weights false is not supported")
        values = {
            "d_model": self.n_embd,
            "num_layers": self.n_layer,
            "num_heads": self.n_head,
            "d_ff": self.n_inner or 4 * self.n_embd,
            "max_length": self.n_positions,
            "dropout": self.resid_pdrop,
            "attention_dropout": self.attn_pdrop,
            "tied": self.tie_word_embeddings,
            "norm_epsilon": self.layer_norm_epsilon,
            "activation": read_activation(self.activation_function, "activation_function", where),
        }
        return as_record(GPTSizes, values, where)


def _table(sizes: GPTSizes) -> Iterator[WeightRow]:
    return chain(for_layers(WEIGHTS, sizes.num_layers), () if sizes.tied else (OUTPUT_ROW,))


def read_gpt2(folder: str | Path) -> ExchangedModel:
    """A GPT-2 of Hugging Face's layout: GPT2LMHeadModel, or GPT2Model, whose output is its embedding.

    Raises:
        DataError, CheckpointError: naming the file or the tensor that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    where = folder / CONFIG
    config = read_record(GPT2Config, where)
    sizes = config.sizes(where)
    files = TensorFiles(folder, BODY, heads=("lm_head.",))
    rows = files.rows(EMBEDDING)
    if config.vocab_size not in (None, rows):
        raise DataError(
            f"{where}: vocab_size {config.vocab_size}, and the embedding has {rows} rows; they do not belong together"
        )
    foreign, end = _read_tokenizer(folder)
    specials = {end: EOS}
    unknown = foreign.file.model.unk_token
    if unknown is not None and unknown != end:
        specials[unknown] = UNK
    tokenizer, order = to_ours(foreign, specials, rows)
    weights = read_weights(
        files,
        _table(sizes),
        partial(GPT, tokenizer.vocab_size, sizes),
        order,
        ignored=IGNORED,
        tied={OUTPUT: EMBEDDING} if sizes.tied else {},
    )
    return ExchangedModel(
        "next_token",
        sizes,
        weights,
        tokenizer,
        architecture=(config.architectures or ["GPT2LMHeadModel"])[0],
        documents=config.sightline.documents,
    )


def write_gpt2(folder: str | Path, model: ExchangedModel) -> str:
    """Writes what `read_gpt2` and the transformers library read. Returns which ids the special tokens have, and whose.

    Raises:
        UsageError: where the model or its tokenizer is not of GPT-2's kind, naming what is not.
    """
    folder, sizes = Path(folder), model.sizes
    if not isinstance(sizes, GPTSizes):
        raise UsageError(f"{folder}: a {sizes.kind} model has no place in GPT-2")
    require_fixed(sizes, FIXED, "GPT-2")
    activation = activation_name(sizes.activation, "GPT-2")
    outgoing = to_theirs(model.require_tokenizer(), {EOS: END_OF_TEXT}, last=(EOS,), without=(PAD, BOS))
    end = outgoing.order.index(model.require_tokenizer().eos_id)
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": len(outgoing.order),
        "n_embd": sizes.d_model,
        "n_layer": sizes.num_layers,
        "n_head": sizes.num_heads,
        "n_inner": sizes.d_ff,
        "n_positions": sizes.max_length,
        "activation_function": activation,
        "resid_pdrop": sizes.dropout,
        "embd_pdrop": sizes.dropout,
        "attn_pdrop": sizes.attention_dropout,
        "layer_norm_epsilon": sizes.norm_epsilon,
        "sightline": {"documents": model.documents},
        "tie_word_embeddings": sizes.tied,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float32",
    }
    tensors = lay_out(model.weights, _table(sizes), outgoing.order)
    write_folder(folder, {CONFIG: config, **_tokenizer_files(outgoing, end)}, tensors)
    return outgoing.said([outgoing.piece(end)])


def _tokenizer_files(outgoing: Outgoing, end: int) -> Mapping[str, Mapping[str, object] | str]:
    """The files of a tokenizer whose text ends with id `end`."""
    name, file = outgoing.piece(end), outgoing.file
    special = {"bos_token": name, "eos_token": name}
    if not _is_plain(file):
        if file.model.unk_token is not None:
            special["unk_token"] = file.model.unk_token
        notes = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
        return {TOKENIZER: file_values(file), TOKENIZER_CONFIG: notes}
    begins = bool((file.pre_tokenizer or {}).get("add_prefix_space"))
    notes = {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": begins, "unk_token": name, **special}
    merges = [one if type(one) is str else " ".join(one) for one in file.model.merges]
    return {
        TOKENIZER: file_values(file),
        TOKENIZER_CONFIG: notes,
        # the older pair of files, for readers that want them
        "vocab.json": json.dumps(file.model.vocab, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
    }


def _is_plain(file: TokenizerFile) -> bool:
    """Whether transformers' class for GPT-2, which builds all but the pieces itself, builds the same tokenizer."""
    only_special = all(one.special for one in file.added_tokens)
    return file.model.type == "BPE" and not _own_class_leaves_out(file) and only_special


def _own_class_leaves_out(file: TokenizerFile) -> str | None:
    """The part of a tokenizer.json that transformers' class for GPT-2 leaves out, where it has one."""
    before = file.pre_tokenizer or {}
    if file.normalizer and file.normalizer.get("normalizers") != []:
        return "normalizer"
    if before.get("type") != "ByteLevel" or before.get("use_regex") is False:
        return "pre_tokenizer"
    return None


def _read_tokenizer(folder: Path) -> tuple[ForeignTokenizer, str]:
    """The tokenizer as transformers would load it, and the token that ends texts."""
    notes = read_notes(folder)
    foreign = read_tokenizer_file(folder)
    foreign = _from_pair(folder, notes) if foreign is None else _as_loaded(foreign, notes)
    end = END_OF_TEXT if END_OF_TEXT in foreign.ids else notes.end
    if end is None or end not in foreign.ids:
        raise DataError(f"{foreign.where}: has no {end or END_OF_TEXT}, which GPT-2 begins and ends texts with")
    _require_processor(foreign, end)
    return foreign, end


def _as_loaded(foreign: ForeignTokenizer, notes: TokenizerNotes) -> ForeignTokenizer:
    """The tokenizer with what tokenizer_config.json changes.

    Raises DataError where that names a class that leaves out a part which tokenizer.json has.
    """
    own = notes.tokenizer_class in OWN_CLASSES
    if own and (part := _own_class_leaves_out(foreign.file)):
        raise DataError(
            f"{foreign.where}: its {part} is left out by {notes.tokenizer_class}, which {TOKENIZER_CONFIG} names; "
            'name "PreTrainedTokenizerFast" there if it is meant'
        )
    before, begins = foreign.file.pre_tokenizer or {}, notes.add_prefix_space
    if before.get("type") != "ByteLevel" or notes.tokenizer_class not in (None, *OWN_CLASSES):
        return foreign
    begins = False if own and begins is None else begins
    return foreign if begins is None else foreign.with_part("pre_tokenizer", {**before, "add_prefix_space": begins})


def _from_pair(folder: Path, notes: TokenizerNotes) -> ForeignTokenizer:
    """The tokenizer of the older vocab.json and merges.txt."""
    path, beside = folder / "vocab.json", folder / "merges.txt"
    vocab = read_json(path)
    lines = [line.removesuffix("\r") for line in read_text(beside).split("\n")]
    merges = [line for line in lines if line and not line.startswith("#version")]
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(notes.add_prefix_space))
    backend.decoder = decoders.ByteLevel()
    values = json.loads(backend.to_str())
    values["model"] |= {"vocab": vocab, "merges": merges}
    added = [{"id": i, "content": END_OF_TEXT, "special": True} for name, i in vocab.items() if name == END_OF_TEXT]
    foreign = ForeignTokenizer(path, as_record(TokenizerFile, {**values, "added_tokens": added}, path))
    return with_added(foreign, folder, notes)


def _require_processor(foreign: ForeignTokenizer, end: str) -> None:
    """Raises DataError for a post-processor that puts anything but the token that ends texts around them."""
    processor = foreign.file.post_processor
    for part in _parts(processor, "processors"):
        names = part.get("special_tokens")
        only_end = type(names) is dict and set(names) <= {end}
        if part.get("type") != "ByteLevel" and not (part.get("type") == "TemplateProcessing" and only_end):
            raise DataError(
                f"{foreign.where}: post_processor {part.get('type')!r} puts tokens around texts that are not {end}, "
                "which a GPT-2 does not have here"
            )


def _parts(component: Component | None, within: str) -> list[Component]:
    """A component's own parts where it is a sequence."""
    if component is None:
        return []
    if component.get("type") != "Sequence":
        return [component]
    inner = component.get(within)
    return [one for one in inner if type(one) is dict] if type(inner) is list else []
