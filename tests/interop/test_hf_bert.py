"""BERT to and from Hugging Face's directories: heads, tokenizer, and what is not such a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertTokenizerFast,
)

import sightline as package
from sightline.errors import SightlineError
from sightline.interop.bert import read_bert, write_bert
from sightline.tasks.exchange import ExchangedModel
from support.commands import sightline
from support.hf_bert import PIECES, theirs

TEXTS = ("The red dogs, Café 중국 long!", "재미 the  dog\t[SEP] house", "THE RED DOG")


def their_ids(text: str) -> list[int]:
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)
    return tokenizer.encode(text, add_special_tokens=False)


def their_order(tokenizer: Any) -> list[int]:
    """For each id that a run of ours is exported with ours: the usual order of special tokens, then the pieces."""
    return [0, 3, 1, 2, tokenizer.vocab_size, *range(4, tokenizer.vocab_size)]


def test_a_pretrained_model_comes_and_goes(tmp_path: Path) -> None:
    model = theirs(BertForPreTraining, tmp_path / "theirs")
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    order = torch.tensor([PIECES.index(name) for name in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
                         + [i for i, piece in enumerate(PIECES) if i not in (0, 2, 3, 4, 5)] + [5])  # fmt: skip
    for text in TEXTS[::2]:
        ids = ours.tokenizer.encode(text)
        assert order[torch.tensor(ids)].tolist() == their_ids(text)
        tokens = torch.tensor([[1, *ids, 2, *ids[:2], 2]])
        segment = torch.tensor([[0] * (len(ids) + 2) + [1] * 3])
        with torch.inference_mode():
            expected = model(order[tokens], token_type_ids=segment)
            features = ours.model.bert.encode(tokens, segment_BT=segment)
            logits = ours.model.project(ours.model.transform_masked(features))
            follows = ours.model.next_sentence_logits(features)
        torch.testing.assert_close(logits, expected.prediction_logits[..., order], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(follows, expected.seq_relationship_logits, atol=1e-4, rtol=1e-4)
    # "[SEP]" in a text is text
    assert 2 not in ours.tokenizer.encode(TEXTS[1])

    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = BertForPreTraining.from_pretrained(tmp_path / "again").eval()
    # with the ids it came with
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert tokenizer.encode(TEXTS[0]) == [3, *their_ids(TEXTS[0]), 4]
    assert tokenizer(TEXTS[0], TEXTS[2])["token_type_ids"][-1] == 1
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id] == [0, 2, 5]
    assert sightline("import", tmp_path / "again", "--run", tmp_path / "third") == 0
    third: Any = package.load(tmp_path / "third")
    assert third.fill("the [MASK]") == ours.fill("the [MASK]")


def test_a_model_of_masked_words_alone(tmp_path: Path) -> None:
    model = theirs(BertForMaskedLM, tmp_path / "theirs")
    found = read_bert(tmp_path / "theirs")
    assert not found.next_sentence
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    assert ours.settings.next_sentence is False
    filled = ours.fill("the [MASK] dog", top=30)
    with torch.inference_mode():
        logits = model(torch.tensor([[3, 6, 5, 8, 4]])).logits[0, 2]
    logits = logits.clone()
    logits[[0, 2, 3, 4, 5]] = -torch.inf
    expected = logits.softmax(0)
    assert [one.token for one in filled.blanks[0]][:4] == [PIECES[i] for i in expected.argsort(descending=True)[:4]]
    assert filled.blanks[0][0].probability == pytest.approx(float(expected.max()), abs=1e-5)


@pytest.mark.parametrize(("labels", "form"), [(3, "single"), (2, "pair"), (1, "pair")])
def test_a_classifier_comes_and_goes(labels: int, form: str, tmp_path: Path) -> None:
    names = {i: f"class {i}" for i in range(labels)}
    model = theirs(BertForSequenceClassification, tmp_path / "theirs", num_labels=labels, id2label=names)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run", "--form", form) == 0
    ours: Any = package.load(tmp_path / "run")
    texts = TEXTS[::2][: ours.settings.texts]
    (one,) = ours.predict([texts])
    ids = [3]
    for text in texts:
        ids += [*their_ids(text), 4]
    segment = [0] * (ids.index(4) + 1) + [1] * (len(ids) - ids.index(4) - 1)
    with torch.inference_mode():
        logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([segment])).logits[0]
    if labels == 1:
        assert one.value == pytest.approx(float(logits), abs=1e-4)
    else:
        assert list(one.probabilities) == list(names.values())
        assert list(one.probabilities.values()) == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)
    assert sightline("export", tmp_path / "run", tmp_path / "again", "--to", "bert") == 0
    again = BertForSequenceClassification.from_pretrained(tmp_path / "again").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "again")
    with torch.inference_mode():
        got = again(**tokenizer(*texts, return_tensors="pt")).logits[0]
    torch.testing.assert_close(got, logits, atol=1e-4, rtol=1e-4)
    if labels > 1:
        assert again.config.id2label == names


def test_a_run_of_ours_goes_out_and_comes_back(bert: Path, tmp_path: Path, capsys) -> None:
    assert sightline("export", bert, tmp_path / "out") == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert "ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4; they are not the run's: make ids of texts by" in told
    ours: Any = package.load(bert)
    model = BertForPreTraining.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    order = torch.tensor(their_order(ours.tokenizer))
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]
    ids = tokenizer.encode("red dog", "old house")
    read = [1, *ours.tokenizer.encode("red dog"), 2, *ours.tokenizer.encode("old house"), 2]
    assert order[ids].tolist() == read
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).prediction_logits
        features = ours.model.bert.encode(torch.tensor([read]))
        logits = ours.model.project(ours.model.transform_masked(features))
    torch.testing.assert_close(logits[..., order], expected, atol=1e-4, rtol=1e-4)
    assert sightline("import", tmp_path / "out", "--run", tmp_path / "back") == 0
    back: Any = package.load(tmp_path / "back")
    assert back.fill("red [MASK]") == ours.fill("red [MASK]")


def test_what_bert_cannot_hold(bert: Path, tmp_path: Path) -> None:
    ours: Any = package.load(bert)
    weights = dict(ours.model.named_parameters())
    for changes, says in (({"pre_norm": True}, "pre_norm"), ({"activation": "swiglu"}, "activation")):
        sizes = ours.settings.model.model_copy(update=changes)
        with pytest.raises(SightlineError, match=rf"model\.{says}"):
            write_bert(tmp_path / "no", ExchangedModel("masked_tokens", sizes, weights, ours.tokenizer))


def test_damaged_directories(tmp_path: Path, capsys) -> None:
    def fresh(name: str, **changes: Any) -> Path:
        folder = tmp_path / name
        theirs(BertForPreTraining, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        return folder

    cases = {
        "is 'llama'; what can be imported is 'gpt2' or 'bert' or 'vit'": fresh("llama", model_type="llama"),
        "hidden_act 'swish' is not supported": fresh("swish", hidden_act="swish"),
        "relative positions": fresh("relative", position_embedding_type="relative_key"),
        "do not belong together": fresh("longer", max_position_embeddings=30),
        "the weights lack bert.encoder.layer.2.": fresh("deeper", num_hidden_layers=3),
        "has no [MASK]": fresh("maskless"),
        "there is no tokenizer.json either": fresh("wordless"),
        "has 20 rows for 21 tokens": fresh("more"),
    }
    (tmp_path / "maskless/vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    (tmp_path / "wordless/vocab.txt").unlink()
    (tmp_path / "more/vocab.txt").write_text("\n".join([*PIECES, "more"]) + "\n", encoding="utf-8")
    for says, folder in cases.items():
        capsys.readouterr()
        assert sightline("import", folder, "--run", tmp_path / "run") == 1, says
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert says in line, (says, line)
        assert not (tmp_path / "run").exists()


def test_ids_stay_those_that_a_bert_came_with(tagged_file: Path, tmp_path: Path, capsys) -> None:
    """Google's have [UNK] at 100. Texts that were stored as ids fit, after fine-tuning too; and the user is told."""
    pieces = [PIECES[0], *(f"[unused{i}]" for i in range(99)), *PIECES[2:]]
    theirs(BertForPreTraining, tmp_path / "theirs", extra=len(pieces) - len(PIECES))
    (tmp_path / "theirs/vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    text = tagged_file.read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    (tmp_path / "fine.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    words = ["train", tmp_path / "fine.toml", "--run", tmp_path / "tuned", f"pretrained={tmp_path / 'run'}"]
    assert sightline(*words, "training.max_updates=1", "training.warmup=0", "data.max_tokens=24") == 0
    for run in ("run", "tuned"):
        capsys.readouterr()
        assert sightline("export", tmp_path / run, tmp_path / f"{run} again") == 0
        told = "ids: [PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103, as it was imported with\n"
        assert capsys.readouterr().err.endswith(told)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / f"{run} again")
        assert tokenizer.convert_ids_to_tokens(list(range(len(pieces)))) == pieces


def test_one_that_chooses_among_texts_comes_and_goes(tmp_path: Path, capsys) -> None:
    model = theirs(BertForMultipleChoice, tmp_path / "theirs")
    words = ("import", tmp_path / "theirs", "--run", tmp_path / "run")
    assert sightline(*words) == 2
    assert "--choices: it chooses among texts; say how many" in capsys.readouterr().err
    assert sightline(*words, "--choices", "3") == 0
    ours: Any = package.load(tmp_path / "run")
    context, *others = texts = ("the red dog", "the house", "cafe dogs, dogs", "long")
    (one,) = ours.predict([texts])
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)
    with torch.inference_mode():
        read = tokenizer([context] * 3, others, padding=True, return_tensors="pt")
        logits = model(**{name: tensor[None] for name, tensor in read.items()}).logits[0]
    assert list(one.probabilities.values()) == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = BertForMultipleChoice.from_pretrained(tmp_path / "again").eval()
    read = AutoTokenizer.from_pretrained(tmp_path / "again")([context] * 3, others, padding=True, return_tensors="pt")
    with torch.inference_mode():
        got = again(**{name: tensor[None] for name, tensor in read.items()}).logits[0]
    torch.testing.assert_close(got, logits, atol=1e-4, rtol=1e-4)
    assert sightline("import", tmp_path / "again", "--run", tmp_path / "third", "--choices", "3") == 0
    third: Any = package.load(tmp_path / "third")
    assert third.predict([texts]) == [one]


def test_a_head_that_there_is_not_here(tmp_path: Path, capsys) -> None:
    theirs(BertForNextSentencePrediction, tmp_path / "theirs")
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    told = capsys.readouterr().err
    assert "BertForNextSentencePrediction; the weights have none of the heads" in told
    assert "fetch" not in told


def test_an_output_of_its_own_is_refused(tmp_path: Path, capsys) -> None:
    theirs(BertForMaskedLM, tmp_path / "theirs", tie_word_embeddings=False)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    assert "cls.predictions.decoder.weight is not tied to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "says",
    [
        {"do_lower_case": True},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "tokenize_chinese_chars": False},
    ],
)
def test_what_the_older_tokenizer_says_of_itself(says: dict[str, bool], tmp_path: Path) -> None:
    # a piece that Python takes for line ends, and pieces after it
    pieces = [*PIECES, "\u2028", "가나", "é", "e", "É", "中", "##中", "中中"]
    theirs(BertForMaskedLM, tmp_path, extra=len(pieces) - len(PIECES))
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8", newline="\r\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(says))
    found = read_bert(tmp_path)
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)}, **says)
    for text in ("가나 é É", "中中 the dog", "The RED Cafe"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        names = [piece.replace("<unk>", "[UNK]") for piece in found.tokenizer.tokens(found.tokenizer.encode(text))]
        assert names == tokenizer.convert_ids_to_tokens(ids)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--choices", "3"), "--choices: is for a model that chooses"),
        (("--form", "foo"), '--form: there is no "foo"'),
        (("--form", "similarity"), ""),
    ],
)
def test_forms_of_a_classifier(words: tuple[str, ...], says: str, tmp_path: Path, capsys) -> None:
    theirs(BertForSequenceClassification, tmp_path / "theirs", num_labels=2)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run", *words) == (2 if says else 0)
    assert says in capsys.readouterr().err
