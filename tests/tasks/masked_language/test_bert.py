"""BERT: its outputs, what it is pretrained on, and that it learns both of its tasks and what they are good for."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification

import sightline as package
from sightline.data.batches import DataPosition
from sightline.data.labelled import Examples, collate_examples
from sightline.data.masking import (
    ALONE,
    ELSEWHERE,
    FOLLOWS,
    Masks,
    SegmentOrder,
    collate_masked,
    input_lengths,
)
from sightline.data.sentences import EncodedDocuments, SentenceSource, encode_documents
from sightline.data.tokenizer import Tokenizer
from sightline.errors import SightlineError
from sightline.interop.bert import HEADS
from sightline.models import BertForPretraining
from sightline.models.classifier import BertClassifier, Tuning
from sightline.nn.context import PassContext
from sightline.sight.reading import look
from sightline.special_tokens import CLS_ID, SEP_ID
from sightline.tasks.masked_language.predictor import MaskedLanguageModel
from sightline.tasks.masked_language.settings import MaskedLanguageSettings
from sightline.tasks.masked_language.task import MaskedLanguageTask, make_model, train_tokenizers
from support.bert_cases import SIZES, batch_of_tokens, random_of, take
from support.commands import sightline
from support.data import WORDS

THEIRS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
          "max_position_embeddings": 24, "vocab_size": 30}  # fmt: skip
VARIANTS = {
    "bert": {},
    "pre-norm": {"pre_norm": True},
    "rotary": {"positions": "rotary", "norm": "rms", "activation": "swiglu"},
    "waves": {"positions": "sinusoidal", "activation": "relu", "segments": 3},
}


def make(**changes: Any) -> BertForPretraining:
    """A model with weights so large that every input tells."""
    torch.manual_seed(0)
    model = BertForPretraining(30, SIZES.model_copy(update=changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_outputs_are_those_of_transformers() -> None:
    theirs = BertForPreTraining(BertConfig(**THEIRS))
    found = random_of(theirs)
    ours = BertForPretraining(30, SIZES)
    take(ours.bert, found)
    with torch.no_grad():
        for row in HEADS["masked_tokens"].table:
            ours.get_parameter(row.ours).copy_(found[row.theirs[0]])
    tokens, real, segment = batch_of_tokens()
    with torch.inference_mode():
        expected = theirs(tokens, attention_mask=real.long(), token_type_ids=segment)
        features = ours.bert.encode(tokens, real, segment_BT=segment)
        logits, follows = ours.project(ours.transform_masked(features)), ours.next_sentence_logits(features)
    torch.testing.assert_close(logits[real], expected.prediction_logits[real], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(follows, expected.seq_relationship_logits, atol=1e-4, rtol=1e-4)


def test_a_classifiers_logits_are_those_of_transformers() -> None:
    theirs = BertForSequenceClassification(BertConfig(**THEIRS, num_labels=3))
    found = random_of(theirs)
    ours = BertClassifier(29, SIZES, 3, Tuning.model_validate({}))
    take(ours.body, found)
    with torch.no_grad():
        ours.head.weight.copy_(found["classifier.weight"])
        ours.head.bias.copy_(found["classifier.bias"])  # pyright: ignore
    tokens, real, segment = batch_of_tokens()
    rows = [row[keep].tolist() for row, keep in zip(tokens, real, strict=True)]
    batch = collate_examples(Examples(rows, 1, np.zeros(3)), np.arange(3))
    with torch.inference_mode():
        expected = theirs(tokens, attention_mask=real.long(), token_type_ids=segment).logits
        logits = ours.outputs(ours.read(batch.tokens_NT, batch.real_NT)[1])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_and_company_change_nothing(variant: str) -> None:
    model = make(**VARIANTS[variant])
    tokens, real, segment = batch_of_tokens()
    together = model.bert.encode(tokens, real, segment_BT=segment)
    for row in range(len(tokens)):
        keep = real[row]
        alone = model.bert.encode(tokens[row : row + 1, keep], segment_BT=segment[row : row + 1, keep])
        torch.testing.assert_close(together[row, keep], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_projecting_what_was_masked_is_projecting_all(variant: str) -> None:
    model = make(**VARIANTS[variant])
    tokens, real, segment = batch_of_tokens()
    features = model.bert.encode(tokens, real, segment_BT=segment)
    chosen = torch.zeros_like(real)
    chosen[0, 2] = chosen[1, 1] = chosen[2, 5] = True
    torch.testing.assert_close(
        model.project(model.transform_masked(features[chosen])), model.project(model.transform_masked(features))[chosen]
    )


def test_what_is_recorded_changes_nothing() -> None:
    from sightline.nn.context import Recorder

    model = make()
    tokens, real, segment = batch_of_tokens()
    recorder = Recorder(["blocks.*.self_attention.weights", "embedding"])
    looked = model.bert.encode(tokens, real, segment_BT=segment, ctx=PassContext(recorder=recorder))
    torch.testing.assert_close(looked, model.bert.encode(tokens, real, segment_BT=segment), atol=1e-5, rtol=1e-5)
    weights = recorder.tensors["blocks.1.self_attention.weights"][0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 7))
    assert weights[1, :, :, 3:].abs().max() == 0


def documents(seed: int = 0, count: int = 40) -> EncodedDocuments:
    random = np.random.default_rng(seed)
    return EncodedDocuments.from_lists(
        [[random.integers(4, 90, random.integers(1, 12)).tolist() for _ in range(random.integers(1, 9))]
         for _ in range(count)]
    )  # fmt: skip


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("max_tokens", [8, 20, 64])
def test_inputs(pairs: bool, max_tokens: int) -> None:
    held = documents()
    order = SegmentOrder(held, max_tokens, 256, seed=3, pairs=pairs, short=0.2)
    items = np.concatenate(order.epoch(0))
    assert np.array_equal(
        items, np.concatenate(SegmentOrder(held, max_tokens, 256, seed=3, pairs=pairs, short=0.2).epoch(0))
    )
    assert not np.array_equal(items, np.concatenate(order.epoch(1)))
    assert input_lengths(items).max() <= max_tokens
    assert (items[:, 1] > items[:, 0]).all()
    document_of = np.repeat(np.arange(len(held)), np.diff(np.asarray(held.sentences.offsets)[held.documents]))
    a, a_end, b, b_end, kind = items.T
    assert (document_of[a] == document_of[a_end - 1]).all()
    two = kind != ALONE
    assert two.any() == pairs
    assert (b_end[two] > b[two]).all()
    assert ((document_of[a[two]] == document_of[b[two]]) == (kind[two] == FOLLOWS)).all()
    assert (a_end[kind == FOLLOWS] <= b[kind == FOLLOWS]).all()
    if pairs and max_tokens == 20:
        assert 0.35 < (kind[two] == FOLLOWS).mean() < 0.65
    if max_tokens == 64:  # every token comes, most but once; of pairs what is too much is cut off
        seen = np.zeros(len(document_of), dtype=int)
        for row in items:
            seen[row[0] : row[1]] += 1
            seen[row[2] : row[3]] += row[4] == FOLLOWS
        assert (seen == 1).mean() > 0.97 - 0.05 * pairs


@pytest.mark.parametrize(("sentences", "words"), [((20, 60), (5, 35)), ((1, 5), (2, 25))])
@pytest.mark.parametrize("max_tokens", [40, 128])
def test_lengths_and_cuts_do_not_tell_what_follows(sentences, words, max_tokens: int) -> None:
    """What a table of lengths and of where sentences are cut can tell of next sentences is chance."""
    random = np.random.default_rng(0)
    held = EncodedDocuments.from_lists(
        [[[5] * random.integers(*words) for _ in range(random.integers(*sentences))] for _ in range(2500)]
    )
    epochs = SegmentOrder(held, max_tokens, 8192, seed=1, pairs=True, short=0.1)
    rows = np.concatenate([batch for epoch in range(3) for batch in epochs.epoch(epoch)])
    rows = rows[rows[:, 4] != ALONE]
    a, a_end, b, b_end, kind = rows.T
    bounds = np.asarray(held.sentences.offsets)
    heads = bounds[np.asarray(held.documents)[:-1]]  # where documents begin
    cues = [np.isin(a, heads), np.isin(b, heads), *(~np.isin(end, bounds) for end in (a, a_end, b, b_end))]
    cues += [np.isin(b_end, bounds[np.asarray(held.documents)])]
    length, total = np.minimum(b_end - b, 127) // 4, np.minimum(a_end - a + b_end - b, 127) // 4
    assert abs((kind == FOLLOWS).mean() - 0.5) < 0.03
    for key in (length, total, *cues, sum(cue << place for place, cue in enumerate(cues))):
        learned, told = np.arange(len(kind)) % 2 == 0, np.zeros(int(key.max()) + 1)
        np.add.at(told, key[learned].astype(int), np.where(kind[learned] == FOLLOWS, 1, -1))
        right = (told[key[~learned].astype(int)] > 0) == (kind[~learned] == FOLLOWS)
        assert right.mean() < 0.56


def test_what_does_not_follow_is_of_the_same_source() -> None:
    """Or else the first word of another style would tell; a source of one document has no other."""
    random = np.random.default_rng(0)
    sizes = (30, 1, 50)
    held = EncodedDocuments.from_lists(
        *([[[5] * 9] * random.integers(1, 8)] * size for size in sizes), [[[5] * 9] * 40]
    )
    rows = np.concatenate(SegmentOrder(held, 40, 4096, seed=1, pairs=True).epoch(0))
    rows = rows[rows[:, 4] == ELSEWHERE]
    starts = np.asarray(held.sentences.offsets)[held.documents]
    first, second = (np.searchsorted(starts, rows[:, place], side="right") - 1 for place in (0, 2))
    assert (first != second).all()
    sources = np.repeat(np.arange(4), np.diff(held.sources))
    alone = sources[first] == 3
    assert alone.any()
    assert ((sources[first] == sources[second]) | alone | (sources[first] == 1)).all()


def masks(whole_words: bool = False) -> Masks:
    continues = np.zeros(91, dtype=bool)
    continues[:90:3] = True  # every third id goes on with a word
    return Masks(0.15, 0.8, 0.1, whole_words, mask_id=90, first_id=4, continues_V=continues)


@pytest.mark.parametrize("whole_words", [False, True])
def test_masking(whole_words: bool) -> None:
    held = documents(count=200)
    items = np.concatenate(SegmentOrder(held, 48, 4096, seed=1, pairs=True).epoch(0))
    batch = collate_masked(held.sentences.tokens, items, masks(whole_words), np.random.default_rng(0))
    chosen, seen, true = batch.chosen_BT.numpy(), batch.tokens_BT.numpy(), batch.targets_BT.numpy()
    words = (true != CLS_ID) & (true != SEP_ID) & batch.real_BT.numpy()
    assert not (chosen & ~words).any()
    assert chosen.any(1).all()
    assert abs(chosen.sum() / words.sum() - 0.15) < 0.01
    assert (seen[~chosen] == true[~chosen]).all()
    assert abs((seen[chosen] == 90).mean() - 0.8) < 0.04
    assert abs((seen[chosen] == true[chosen]).mean() - 0.1) < 0.04
    assert seen[chosen].min() >= 4
    goes_on = masks().continues_V[true] & words & np.roll(words, 1, 1)
    apart = (chosen != np.roll(chosen, 1, 1))[goes_on].any()
    assert apart != whole_words
    for row, (a, a_end, b, b_end, _) in enumerate(items[:20].tolist()):
        text = held.sentences.tokens
        expected = [CLS_ID, *text[a:a_end], SEP_ID, *([*text[b:b_end], SEP_ID] if b_end > b else [])]
        assert true[row][batch.real_BT[row].numpy()].tolist() == expected
        assert batch.segment_BT[row].sum() == (b_end - b + 1 if b_end > b else 0)
    parts = batch.split(3)
    assert sum(len(part.items) for part in parts) == len(items)
    assert torch.equal(parts[1].tokens_BT, batch.tokens_BT[1::3])


def test_documents_of_sentences(tmp_path: Path) -> None:
    (tmp_path / "verses").write_text("one\ntwo\nthree\nfour\nfive\n")
    (tmp_path / "refs").write_text("Ruth 1:1\nRuth 1:2\nRuth 2:1\nMark 1:1\nMark 1:2\n")
    (tmp_path / "blocks").write_text("A b. C d.\ne\n\n\nFox. Go\n")
    source = SentenceSource(source=f"{tmp_path}/verses", documents="group", sentences="line", groups=f"{tmp_path}/refs")
    assert list(source.read_documents()) == [["one", "two"], ["three"], ["four", "five"]]
    half = SentenceSource(
        source=f"{tmp_path}/verses", documents="group", sentences="line", groups=f"{tmp_path}/refs", part=(0.34, 1.0)
    )
    assert list(half.read_documents()) == [["three"], ["four", "five"]]
    found = {kind: list(SentenceSource(source=f"{tmp_path}/blocks", documents="block", sentences=kind).read_documents())
             for kind in ("line", "split", "whole")}  # fmt: skip
    assert found["line"] == [["A b. C d.", "e"], ["Fox. Go"]]
    assert found["split"] == [["A b.", "C d.\ne"], ["Fox.", "Go"]]
    assert found["whole"] == [["A b. C d.\ne"], ["Fox. Go"]]
    tokenizer = Tokenizer.train(["one two three four five"], kind="word")
    encoded = encode_documents([source], tokenizer, cache_dir=tmp_path / "cache")
    assert encoded.documents.tolist() == [0, 2, 3, 5]
    assert encoded.sentences.lengths.tolist() == [1] * 5
    again = encode_documents([source], tokenizer, cache_dir=tmp_path / "cache")
    assert np.array_equal(again.sentences.tokens, encoded.sentences.tokens)
    (tmp_path / "refs").write_text("Ruth 1:1\n")
    with pytest.raises(SightlineError, match="has 1 lines, fewer than"):
        list(source.read_documents())
    with pytest.raises(ValueError, match="groups"):
        SentenceSource(source=f"{tmp_path}/verses", documents="group", sentences="line")


def test_which_tokens_go_on_with_a_word() -> None:
    for kind in ("wordpiece", "bpe", "unigram"):
        tokenizer = Tokenizer.train(["walking talked walks talking"] * 3, kind=kind, vocab_size=320, min_frequency=1)
        ids = tokenizer.encode("walking talked")
        goes_on = tokenizer.continues_word()
        assert len(goes_on) == tokenizer.vocab_size + 1
        pieces = [piece.replace("##", "").replace("▁", "") for piece in tokenizer.tokens(ids)]
        words: list[str] = []
        for piece, on in zip(pieces, goes_on[ids], strict=True):
            words[len(words) - bool(on and words) :] = [words[-1] + piece] if on and words else [piece]
        assert words == ["walking", "talked"], kind


def test_both_means_are_added_however_few_are_pairs(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    alone = [" ".join(random.choice(list(WORDS.values()), 6)) for _ in range(300)]
    (tmp_path / "alone").write_text("\n".join(alone))
    (tmp_path / "stories").write_text("\n\n".join("\n".join(alone[at : at + 5]) for at in range(0, 100, 5)))
    stories = {"source": str(tmp_path / "stories"), "documents": "block", "sentences": "line"}
    settings = MaskedLanguageSettings.model_validate({
        "data": {"train": [{"source": str(tmp_path / "alone")}, stories], "validation": [stories], "max_tokens": 30},
        "tokenizer": {"min_frequency": 1},
        "model": {"d_model": 8, "num_layers": 1, "num_heads": 1, "d_ff": 8, "max_length": 30, "dropout": 0.0},
        "training": {"tokens_per_batch": 256},
    })  # fmt: skip
    tokenizers = train_tokenizers(settings, str)
    task = MaskedLanguageTask(settings, tokenizers, make_model(settings, tokenizers), cache_dir=tmp_path / "cache")
    torch.nn.init.zeros_(task.model.get_parameter("next_sentence.weight"))
    losses, masked = 0.0, 0
    for position, batch in task.batches(DataPosition(1)):
        _, count, extras = task.loss(batch, torch.Generator())
        losses, masked = losses + extras["next_sentence_loss"], masked + count
        assert task.num_units(batch) == int(batch.real_BT.sum())
        if position.epoch == 6:
            break
    assert losses / masked == pytest.approx(np.log(2), rel=0.1)


def test_pretraining(bert: Path, capsys) -> None:
    last = [json.loads(line) for line in (bert / "metrics.jsonl").read_text().splitlines()]
    first, best = ([one for one in last if one["kind"] == "validation"][k] for k in (0, -1))
    assert best["masked_loss"] < first["masked_loss"]
    # a story's own word is seen twice in every sentence: what is masked can be told, and what belongs together
    assert best["next_sentence_accuracy"] > 62
    assert best["masked_accuracy"] > 45  # one of seven by chance
    assert sightline("evaluate", bert) == 0
    assert "next sentence accuracy" in capsys.readouterr().out


def test_filling_in(bert: Path, capsys) -> None:
    model: Any = package.load(bert)
    filled = model.fill("dog [MASK] old dog [MASK]", top=3)
    assert [len(one) for one in filled.blanks] == [3, 3]
    everything = model.fill("dog [MASK] old dog [MASK]", top=10_000)
    specials = {"<pad>", "<s>", "</s>", "<unk>"}
    for whole, best in zip(everything.blanks, filled.blanks, strict=True):
        assert len({one.token for one in whole} - specials) == len(whole) == model.tokenizer.vocab_size - len(specials)
        assert sum(one.probability for one in whole) == pytest.approx(1)
        assert [one.probability for one in best] == sorted((one.probability for one in whole), reverse=True)[:3]
    assert filled.blanks[1][0].text == f"dog [MASK] old dog {filled.blanks[1][0].token}"
    own = [model.fill(f"{word} red {word}\n{word} old [MASK]").blanks[0][0].token for word in WORDS.values()]
    assert sum(one == word for one, word in zip(own, WORDS.values(), strict=True)) >= 4
    assert sightline("fill", bert, "a [MASK]", "--top", 2) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert "unknown" not in told.err
    assert sightline("fill", bert, "dog 言葉 [MASK]") == 0
    assert "note: 1 of the text's tokens are unknown to this model" in capsys.readouterr().err
    assert sightline("fill", bert, "a [MASK]", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["blanks"][0]) == 5
    for text, says in (("nothing", r"no [MASK]"), ("dog " * 40 + "[MASK]", "reads 40 at most")):
        assert sightline("fill", bert, text) == 2
        assert says in capsys.readouterr().err
    assert sightline("generate", bert) == 2
    assert "sightline fill" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["full", "head", "lora"])
def test_fine_tuning(weights: str, bert: Path, labelled_files, tmp_path: Path, capsys) -> None:
    text = labelled_files["pair"].read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    (tmp_path / "fine.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    words = ["train", tmp_path / "fine.toml", "--run", tmp_path / "run", f"pretrained={bert}",
             f"tuning.weights={weights}", "training.max_updates=20"]  # fmt: skip
    assert sightline(*words) == 0
    assert ("of them trained" in capsys.readouterr().err) == (weights != "full")
    before, after = package.load(bert), package.load(tmp_path / "run")
    near = (before.model.bert.embedding - after.model.body.embedding).abs().max()  # pyright: ignore
    assert (near == 0) == (weights != "full")
    assert near < 0.2
    model: Any = after
    (one,) = model.predict([("red dog", "old dog")])
    assert sorted(one.probabilities) == ["False", "True"]
    assert look(model.reading("red dog", "old dog")).log_probabilities == pytest.approx([math.log(one.probability)])


def test_one_document_is_measured_by_its_masked_words(bert: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "one.txt").write_text("red dog\nold house\n")
    assert sightline("evaluate", bert, tmp_path / "one.txt", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert set(report["scores"]) == {"loss", "masked_loss", "masked_accuracy"}


def test_lines_without_a_blank_stop_no_others(bert: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"dog\na [MASK]\n")))
    assert sightline("fill", bert, "-", "--json") == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["text"] == "a [MASK]"
    assert told.err.startswith("standard input:1: fill: no [MASK]")


def test_what_is_filled_in_is_composed() -> None:
    letter = SimpleNamespace(decode=lambda ids: "\u11ab", tokens=lambda ids: ["##\u11ab"])
    model: Any = SimpleNamespace(tokenizer=letter)
    assert MaskedLanguageModel._joined(model, ["가", " 집"], {0: 5}) == "간 집"


def test_going_on_with_longer_inputs(bert: Path, masked_file: Path, tmp_path: Path, capsys) -> None:
    words = ["train", masked_file, "--run", tmp_path / "run", f"pretrained={bert}", "data.max_tokens=40"]
    words += ["training.max_updates=1", "training.warmup=1", "training.learning_rate=1e-6"]
    assert sightline(*words) == 0
    before, after = package.load(bert), package.load(tmp_path / "run")
    for name, parameter in after.model.named_parameters():  # pyright: ignore
        assert (parameter - before.model.get_parameter(name)).abs().max() < 1e-4, name  # pyright: ignore
    assert (
        sightline(
            "train",
            masked_file,
            "--run",
            tmp_path / "no",
            f"pretrained={bert}",
            "model.d_ff=48",
            "training.max_updates=2",
        )
        == 2
    )
    assert "leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(("positions", "code"), [("rotary", 0), ("learned", 2)])
def test_only_a_table_of_positions_ends(
    positions: str, code: int, masked_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["train", masked_file, "training.max_updates=1", "training.warmup=1"]
    first = [*short, "--run", tmp_path / "short", f"model.positions={positions}"]
    assert sightline(*first, "model.max_length=40", "data.max_tokens=40") == 0
    longer = [*short, "--run", tmp_path / "long", f"pretrained={tmp_path / 'short'}"]
    capsys.readouterr()
    assert sightline(*longer, "model.max_length=64", "data.max_tokens=64") == code
    if code:
        assert "model.max_length: 64, but" in capsys.readouterr().err


def test_one_document_cannot_be_paired(masked_file: Path, tmp_path: Path, capsys) -> None:
    """Told before anything is learned."""
    (tmp_path / "one.txt").write_text("red dog\nold house\n")
    validation = f"data.validation=[{{ source = '{tmp_path}/one.txt', documents = 'file', sentences = 'line' }}]"
    assert sightline("train", masked_file, "--run", tmp_path / "one", validation) == 2
    assert "and a pair needs two" in capsys.readouterr().err
