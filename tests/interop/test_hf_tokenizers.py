"""Tokenizers of other toolkits come whole: the tokens and probabilities are those of the transformers library."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

import sightline as package
from support.commands import sightline
from support.hf_gpt2 import END, GENERIC, TEXT, byte_level, gpt2


def odd_texts(count: int) -> list[str]:
    """Texts of letters, marks, spaces and signs from everywhere, and of the names of special tokens."""
    draw = random.Random(3)
    ranges = ((0x20, 0x7F), (0xA0, 0x250), (0x300, 0x330), (0x1100, 0x1200), (0x2000, 0x2070), (0x3000, 0x3100),
              (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xFB00, 0xFB10), (0xFE00, 0xFE10), (0x1F600, 0x1F650))  # fmt: skip
    words = ["<s>", "</s>", "<pad>", "<unk>", "[CLS]", "[SEP]", "[PAD]", "the", "model", "글을", " ", "  ", "\n", "\t"]

    def piece() -> str:
        return draw.choice(words) if draw.random() < 0.3 else chr(draw.randrange(*draw.choice(ranges)))

    return TEXT + ["".join(piece() for _ in range(draw.randrange(1, 24))) for _ in range(count)]


class Pairing:
    """Ids of two tokenizers that are to be the same but for their numbers."""

    def __init__(self) -> None:
        self.theirs: dict[int, int] = {}
        self.ours: dict[int, int] = {}

    def add(self, ours: list[int], theirs: list[int]) -> None:
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert self.theirs.setdefault(one, other) == other
            assert self.ours.setdefault(other, one) == one


def prefix_space(backend: Backend) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def lowercase(backend: Backend) -> None:
    backend.normalizer = normalizers.Lowercase()


def several_normalizers(backend: Backend) -> None:
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.StripAccents()]
    )


def several_pre_tokenizers(backend: Backend) -> None:
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def without_regex(backend: Backend) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def added_words(backend: Backend) -> None:
    backend.add_tokens([AddedToken("모델", single_word=True), AddedToken("model", lstrip=True), AddedToken("中文")])


def added_padding(backend: Backend) -> None:
    backend.add_special_tokens(["[PAD]", "<|user|>"])


def offsets(backend: Backend) -> None:
    backend.post_processor = processors.ByteLevel(trim_offsets=True)


def ends_around(backend: Backend) -> None:
    end = backend.token_to_id(END)
    backend.post_processor = processors.TemplateProcessing(single=f"{END} $A {END}", special_tokens=[(END, end)])


def nothing(backend: Backend) -> None:
    """Leaves it as it is."""


def log_probability(model: GPT2LMHeadModel, ids: list[int], end: int) -> float:
    """Of a text as a document: after the end of the one before, to its own end."""
    whole = torch.tensor([[end, *ids, end]])
    with torch.inference_mode():
        logits = model(whole).logits[0, :-1].double()
    return float(logits.log_softmax(-1).gather(-1, whole[0, 1:, None]).sum())


CASES: dict[str, tuple[Callable[[Backend], None], list[str], dict[str, Any], int]] = {
    "end is id 0": (nothing, [END], {}, 0),
    "end in between": (nothing, ["<|user|>", END, "<|model|>"], GENERIC, 0),
    "padding after it": (added_padding, [END], GENERIC, 0),
    "rows without a token": (added_padding, [END], GENERIC, 7),
    "prefix space": (prefix_space, [END], GENERIC, 0),
    "prefix space by the class's notes": (nothing, [END],
                                          {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True}, 0),
    "no prefix space by the class's notes": (prefix_space, [END], {"tokenizer_class": "GPT2TokenizerFast"}, 0),
    "lowercase": (lowercase, [END], GENERIC, 0),
    "several normalizers": (several_normalizers, [END], GENERIC, 0),
    "several pre-tokenizers": (several_pre_tokenizers, [END], GENERIC, 0),
    "no regular expression": (without_regex, [END], GENERIC, 0),
    "added words": (added_words, [END], GENERIC, 0),
    "offsets": (offsets, [END], {"tokenizer_class": "GPT2TokenizerFast"}, 0),
    "ends around": (ends_around, [END], GENERIC, 0),
    "names like ours": (nothing, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                        {**GENERIC, "eos_token": "</s>", "unk_token": "<unk>"}, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_gpt2_reads_what_transformers_reads(case: str, tmp_path: Path, capsys) -> None:
    """The same tokens and the same ln p for a few hundred texts; and all of it goes out as it came."""
    change, specials, notes, extra = CASES[case]
    backend = byte_level(specials)
    change(backend)
    model = gpt2(tmp_path / "theirs", backend, notes, extra)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    end = theirs.convert_tokens_to_ids(notes.get("eos_token", END))
    capsys.readouterr()
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    assert f" {end}, as it was imported with" in capsys.readouterr().err
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    texts, same = odd_texts(300), Pairing()
    for text in texts:
        # in a text the name of a special token is text
        ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert again.encode(text, add_special_tokens=False, split_special_tokens=True) == ids, text
        same.add(ours.tokenizer.encode(text), ids)
        if text in texts[:12]:
            expected = log_probability(model, ids, end)
            assert ours.score(text).log_probability == pytest.approx(expected, abs=1e-3), text
    state = GPT2LMHeadModel.from_pretrained(tmp_path / "again").state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_every_token_of_an_imported_run_has_a_label(tmp_path: Path) -> None:
    backend = byte_level([END])
    added_words(backend)
    backend.add_tokens(["한 국"])
    gpt2(tmp_path / "theirs", backend, GENERIC, extra=2)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    labels = ours.tokenizer.tokens(range(ours.tokenizer.vocab_size))
    assert {"모델", "한 국", "<unused 324>", "<unused 325>"} <= set(labels)
    assert ours.tokenizer.decode(ours.tokenizer.encode("이 한 국 모델 é")) == "이 한 국 모델 é"


def template(backend: Backend) -> None:
    backend.add_special_tokens(["<|user|>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", backend.token_to_id("<|user|>"))]
    )


def dropout(backend: Backend) -> None:
    backend.model.dropout = 0.1


def scored(backend: Backend) -> None:
    backend.model = models.Unigram([(END, 0.0), ("a", -1.0)], unk_id=0)


@pytest.mark.parametrize(
    ("change", "notes", "says"),
    [
        (lowercase, {"tokenizer_class": "GPT2TokenizerFast"}, "its normalizer is left out by GPT2TokenizerFast"),
        (several_pre_tokenizers, {"tokenizer_class": "GPT2Tokenizer"}, "its pre_tokenizer is left out by"),
        (template, GENERIC, "post_processor 'TemplateProcessing' puts tokens around texts"),
        (dropout, GENERIC, "model.dropout"),
        (scored, GENERIC, "model 'Unigram' is no table of pieces"),
    ],
)
def test_a_part_that_cannot_be_kept_is_named(
    change: Callable[[Backend], None], notes: dict[str, Any], says: str, tmp_path: Path, capsys
) -> None:
    backend = byte_level([END])
    change(backend)
    gpt2(tmp_path / "theirs", backend, notes)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sightline:")]
    assert "tokenizer.json" in line
    assert says in line
    assert not (tmp_path / "run").exists()


def test_no_token_that_ends_texts(tmp_path: Path, capsys) -> None:
    gpt2(tmp_path / "theirs", byte_level(["<|user|>"]), GENERIC)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    assert f"has no {END}" in capsys.readouterr().err


def test_the_older_pair_of_files_with_added_tokens(tmp_path: Path) -> None:
    backend = byte_level([END])
    model = gpt2(tmp_path / "theirs", backend, {"add_prefix_space": True}, extra=1)
    values = json.loads(backend.to_str())
    (tmp_path / "theirs/tokenizer.json").unlink()
    (tmp_path / "theirs/vocab.json").write_text(json.dumps(values["model"]["vocab"]))
    merges = "\n".join(["#version: 0.2", *(" ".join(one) for one in values["model"]["merges"])])
    (tmp_path / "theirs/merges.txt").write_text(merges + "\n", encoding="utf-8")
    (tmp_path / "theirs/added_tokens.json").write_text(json.dumps({"한국": 320}))
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    prefix_space(backend)
    backend.add_tokens(["한국"])
    for text in (*TEXT, "이 한국 the"):
        expected = log_probability(model, backend.encode(text).ids, backend.token_to_id(END))
        assert ours.score(text).log_probability == pytest.approx(expected, abs=1e-3)


def word_pieces(specials: list[str]) -> Backend:
    """A BERT tokenizer as people train one."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=specials, show_progress=False)
    backend.train_from_iterator(TEXT, trainer)
    return backend


def cased(backend: Backend) -> None:
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)


def composed(backend: Backend) -> None:
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )


SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_CASES: dict[str, tuple[Callable[[Backend], None], list[str], dict[str, Any]]] = {
    "usual": (nothing, SPECIALS, {}),
    "special tokens elsewhere": (nothing, ["[MASK]", "first", "[SEP]", "[CLS]", "more", "[UNK]", "[PAD]"], GENERIC),
    "added words": (added_words, SPECIALS, GENERIC),
    "other parts": (composed, SPECIALS, GENERIC),
    "cased": (cased, SPECIALS, {}),
    "cased by the class's notes": (nothing, SPECIALS, {"tokenizer_class": "BertTokenizerFast",
                                                        "do_lower_case": False, "strip_accents": True}),
    "lower case by the class": (cased, SPECIALS, {"tokenizer_class": "BertTokenizer"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BERT_CASES)
def test_a_bert_reads_what_transformers_reads(case: str, tmp_path: Path) -> None:
    change, specials, notes = BERT_CASES[case]
    backend = word_pieces(specials)
    change(backend)
    folder = tmp_path / "theirs"
    torch.manual_seed(2)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForMaskedLM(BertConfig(vocab_size=backend.get_vocab_size(), **shape)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(notes))
    # where no class is named tokenizer.json is all there is
    theirs: Any = AutoTokenizer.from_pretrained(folder) if notes else PreTrainedTokenizerFast(tokenizer_object=backend)
    assert sightline("import", folder, "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    same = Pairing()
    for text in odd_texts(300):
        ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert again.encode(text, add_special_tokens=False, split_special_tokens=True) == ids, text
        same.add(ours.tokenizer.encode(text), ids)
    names = ours.tokenizer.tokens(ours.tokenizer.encode("The ÜBER 42 naïve model"))
    ids = theirs.encode("The ÜBER 42 naïve model", add_special_tokens=False)
    assert [name.replace("<unk>", "[UNK]") for name in names] == theirs.convert_ids_to_tokens(ids)
    at = [theirs.convert_tokens_to_ids(one) for one in ("[CLS]", "[MASK]", "[SEP]")]
    with torch.inference_mode():
        logits = model(torch.tensor([[at[0], *ids, at[1], at[2]]])).logits[0, 1 + len(ids)]
    logits = logits.clone()
    logits[[backend.token_to_id(one) for one in SPECIALS]] = -math.inf
    (found,) = ours.fill("The ÜBER 42 naïve model [MASK]", top=3).blanks
    best = logits.softmax(0).topk(3)
    assert [one.token for one in found] == theirs.convert_ids_to_tokens(best.indices.tolist())
    assert [one.probability for one in found] == pytest.approx(best.values.tolist(), abs=1e-5)
    state = BertForMaskedLM.from_pretrained(tmp_path / "again").state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize(
    ("change", "notes", "says"),
    [
        (composed, {"tokenizer_class": "BertTokenizerFast"}, "its normalizer is left out by BertTokenizerFast"),
        (template, GENERIC, "post_processor 'TemplateProcessing' does not join texts as [CLS] A [SEP] B [SEP]"),
    ],
)
def test_a_part_of_berts_that_cannot_be_kept_is_named(
    change: Callable[[Backend], None], notes: dict[str, Any], says: str, tmp_path: Path, capsys
) -> None:
    backend = word_pieces(SPECIALS)
    change(backend)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=backend.get_vocab_size(), **shape)).save_pretrained(tmp_path / "theirs")
    backend.save(str(tmp_path / "theirs/tokenizer.json"))
    (tmp_path / "theirs/tokenizer_config.json").write_text(json.dumps(notes))
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    assert says in capsys.readouterr().err
