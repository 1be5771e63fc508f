"""Fine-tuning: what a classifier reads, what it is trained on, and that it learns every form of input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2ForSequenceClassification

import sightline as package
from sightline.data.labelled import Examples, LabelledSource, collate_examples, read_labelled
from sightline.errors import DataError, UsageError
from sightline.interop.gpt2 import BODY, WEIGHTS
from sightline.interop.weights import for_layers
from sightline.models import BertSizes, GPTSizes
from sightline.models.classifier import GPTClassifier, Tuning, segments
from sightline.nn.lora import merge
from sightline.sight.reading import look
from sightline.tasks.classification.examples import cut, sequences
from sightline.tasks.classification.settings import ClassificationSettings
from sightline.tasks.classification.task import ClassificationTask, figures, label_loss, scores, to_scores
from support.commands import sightline
from support.configs import FORMS
from support.data import WORDS

SIZES = GPTSizes(d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=24, dropout=0.0, attention_dropout=0.0)

COUNTS = {"single": 1, "pair": 2, "similarity": 2, "choice": 3}  # of texts


def settings(form: str = "single", texts: int = 1, **more: Any) -> ClassificationSettings:
    files = {"source": "x", "texts": list(range(texts)), "label": texts}
    data = {"train": [files], "validation": files, "form": form, "max_tokens": 20, **more.pop("data", {})}
    return ClassificationSettings.model_validate({"data": data, "model": SIZES, **more})


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> str:
        capsys.readouterr()
        assert sightline(*words) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("single", [[9, 1, 2, 11]]),
        ("pair", [[9, 1, 2, 10, 3, 11]]),
        ("similarity", [[9, 1, 2, 10, 3, 11], [9, 3, 10, 1, 2, 11]]),
        ("choice", [[9, 1, 2, 10, 3, 11], [9, 1, 2, 10, 4, 4, 11]]),
    ],
)
def test_input_transformations(form: str, expected: list[list[int]]) -> None:
    """Figure 1 of Radford et al. 2018, with start 9, delimiter 10 and extract 11."""
    texts = [[1, 2], [3], [4, 4]][: COUNTS[form]]
    assert sequences(settings(form, COUNTS[form]), texts, 9) == expected


def test_input_transformations_for_bert() -> None:
    """Figure 4 of Devlin et al. 2019, with [CLS] 1 and [SEP] 2."""
    bert = BertSizes(d_model=16, num_heads=2, max_length=24)
    found = {form: sequences(settings(form, COUNTS[form], model=bert), [[5, 6], [7], [8]][: COUNTS[form]], 9)
             for form in COUNTS}  # fmt: skip
    assert found["single"] == [[1, 5, 6, 2]]
    assert found["pair"] == [[1, 5, 6, 2, 7, 2]]
    assert found["similarity"] == [[1, 5, 6, 2, 7, 2], [1, 7, 2, 5, 6, 2]]
    assert found["choice"] == [[1, 5, 6, 2, 7, 2], [1, 5, 6, 2, 8, 2]]
    tokens = torch.tensor([[1, 5, 6, 2, 7, 2, 0], [1, 5, 2, 0, 0, 0, 0]])
    assert segments(tokens, 2)[0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert segments(tokens, 2)[1, :3].tolist() == [0, 0, 0]
    assert segments(tokens, 1).sum() == 0


@pytest.mark.parametrize("form", ["single", "pair", "similarity", "choice"])
@pytest.mark.parametrize("limit", [4, 5, 8, 13, 100])
def test_texts_are_cut_until_they_fit(form: str, limit: int) -> None:
    texts = [list(range(12)), [1, 2], [5, 6, 7]][: COUNTS[form]]
    one = settings(form, COUNTS[form], data={"max_tokens": limit}, model=SIZES.model_copy(update={"max_length": 100}))
    kept = cut(one, texts)
    assert max(map(len, sequences(one, kept, 90))) <= limit
    assert all(whole[: len(part)] == part for whole, part in zip(texts, kept, strict=True))
    if limit == 100:
        assert kept is texts
    else:  # one token more of the longest would be too many
        more = [whole[: max(map(len, kept)) + 1] for whole in texts]
        assert max(map(len, sequences(one, more, 90))) > limit


def test_logits_are_those_of_transformers() -> None:
    """GPT2ForSequenceClassification too has a linear head on the features of the last token that is no padding."""
    torch.manual_seed(1)
    shape = {"n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=33, num_labels=3, pad_token_id=0, **shape)
    theirs = GPT2ForSequenceClassification(config).eval()
    ours = GPTClassifier(30, SIZES, 3, Tuning.model_validate({}))
    found = dict(theirs.transformer.named_parameters())
    with torch.no_grad():
        for row in for_layers(WEIGHTS, 2):
            their = found[row.theirs[0].removeprefix(BODY)]
            if not row.by_token:
                ours.body.get_parameter(row.ours).copy_(their.T if row.transposed else their)
        ours.body.embedding.copy_(found["wte.weight"][:30])
        ours.special.copy_(found["wte.weight"][30:])
        ours.head.weight.copy_(theirs.score.weight)
    rows = [[30, 5, 6, 32], [30, 7, 8, 9, 10, 31, 4, 32], [30, 32]]
    batch = collate_examples(Examples(rows, 1, torch.zeros(3).numpy()), torch.arange(3).numpy())
    with torch.inference_mode():
        expected = theirs(batch.tokens_NT, attention_mask=batch.real_NT.long()).logits
        logits = ours.outputs(ours.read(batch.tokens_NT, batch.real_NT)[1])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_loss_is_the_labels_plus_a_share_of_the_language_models() -> None:
    """Equation 5 of Radford et al. 2018: what follows each text token is predicted, special tokens are not."""
    one = settings(data={"labels": ("a", "b")}, auxiliary=0.5)
    torch.manual_seed(6)
    model = GPTClassifier(30, SIZES, 2, Tuning(head_dropout=0.0))
    torch.nn.init.normal_(model.body.embedding, std=0.5)
    batch = collate_examples(Examples([[30, 5, 6, 7, 32], [30, 8, 9, 4, 32]], 1, torch.tensor([1, 0]).numpy()),
                             torch.arange(2).numpy())  # fmt: skip
    task = ClassificationTask.__new__(ClassificationTask)
    task.settings, task.model = one, model
    loss, count, _ = task.loss(batch, torch.Generator())
    features, last = model.read(batch.tokens_NT, batch.real_NT)
    spoken = F.cross_entropy(model.body.project(features)[:, :3].flatten(0, 1), batch.tokens_NT[:, 1:4].flatten())
    expected = F.cross_entropy(model.outputs(last), torch.tensor([1, 0]), reduction="sum") + 0.5 * 2 * spoken
    torch.testing.assert_close(loss, expected)
    assert count == 2


def test_padding_and_company_change_nothing() -> None:
    torch.manual_seed(2)
    model = GPTClassifier(30, SIZES, 3, Tuning.model_validate({}))
    rows = [[30, 5, 6, 32], [30, 7, 8, 9, 10, 31, 4, 32], [30, 32]]
    targets = torch.tensor([0, 1, 2]).numpy()
    together = collate_examples(examples := Examples(rows, 1, targets), torch.arange(3).numpy())
    assert examples.num_tokens(together.indices) == int(together.real_NT.sum())
    _, last = model.read(together.tokens_NT, together.real_NT)
    for number, row in enumerate(rows):
        _, alone = model.read(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.bool))
        torch.testing.assert_close(last[number], alone[0], atol=1e-6, rtol=1e-5)
    changed = together.tokens_NT.clone()
    changed[0, 4:] = 17  # padding
    torch.testing.assert_close(model.read(changed, together.real_NT)[1], last)


def test_scores_of_the_forms() -> None:
    torch.manual_seed(3)
    model = GPTClassifier(30, SIZES, 1, Tuning.model_validate({}))
    tokens, real = torch.randint(3, 30, (6, 5)), torch.ones(6, 5, dtype=torch.bool)
    last = model.read(tokens, real)[1]
    choice = to_scores(settings("choice", 4), model.outputs(last), 3)
    torch.testing.assert_close(choice, model.outputs(last).view(2, 3))
    similarity = scores(
        settings("similarity", 2, data={"numbers": True}),
        model,
        SimpleNamespace(tokens_NT=tokens, real_NT=real, each=2),
    )[0]
    torch.testing.assert_close(similarity, model.outputs(last[0::2] + last[1::2]))
    target = torch.tensor([0.5, 1.0, 2.0])
    expected = ((similarity[:, 0] - target) ** 2).sum()
    torch.testing.assert_close(
        label_loss(settings("similarity", 2, data={"numbers": True}), similarity, target), expected
    )


def test_figures() -> None:
    examples = Examples([[1]] * 4, 1, torch.tensor([0, 0, 1, 2]).numpy())
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [0, 1.0, 0]])
    found = figures(settings(data={"labels": ("a", "b", "c")}), logits, examples)
    assert found["accuracy"] == 50
    # precision and recall: a 1/1 and 1/2, b 1/3 and 1/1, c nothing
    assert found["macro_f1"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    # correlation of the one-hot matrices of what is true and what is told
    assert found["matthews"] == pytest.approx(100 * (2 * 4 - (2 * 1 + 1 * 3)) / ((16 - 10) * (16 - 6)) ** 0.5)
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, torch.tensor([0, 0, 1, 2]))))
    numbers = Examples([[1]] * 3, 1, torch.tensor([1.0, 2.0, 4.0]).numpy())
    found = figures(settings(data={"numbers": True}), torch.tensor([[3.0], [5.0], [9.0]]), numbers)
    assert found["pearson"] == pytest.approx(1.0)
    assert found["spearman"] == pytest.approx(1.0)
    found = figures(settings(data={"numbers": True}), torch.tensor([[3.0], [90.0], [9.0]]), numbers)
    assert found["spearman"] == pytest.approx(0.5)
    flat = figures(settings(data={"numbers": True}), torch.ones(3, 1), numbers)
    assert flat["pearson"] != flat["pearson"]


@pytest.mark.parametrize("weights", ["head", "lora"])
def test_what_stays_frozen(weights: Any) -> None:
    """The head and the special tokens move, with LoRA the adapters; merged adapters are the same function."""
    torch.manual_seed(4)
    model = GPTClassifier(30, SIZES, 2, Tuning(weights=weights, rank=2, alpha=4.0, head_dropout=0.0))
    plain = GPTClassifier(30, SIZES, 2, Tuning(head_dropout=0.0))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith(("head", "special")) or ".weight.0." in name for name in trained)
    assert (weights == "lora") == any("weight.0." in name for name in trained)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    tokens = torch.tensor([[30, 5, 6, 32], [30, 9, 8, 32]])
    real = torch.ones_like(tokens, dtype=torch.bool)
    optimizer = torch.optim.SGD(trained.values(), lr=1.0)
    for _ in range(2):  # the first update leaves `down` where it is: `up` is zero
        F.cross_entropy(model.outputs(model.read(tokens, real)[1]), torch.tensor([0, 1])).backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in trained), name
    expected = model.read(tokens, real)[1]
    merge(model)
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in plain.named_parameters()}
    torch.testing.assert_close(model.read(tokens, real)[1], expected)


def test_lora_adds_its_product() -> None:
    torch.manual_seed(5)
    model = GPTClassifier(30, SIZES, 2, Tuning(weights="lora", rank=2, alpha=6.0))
    block: Any = model.body.blocks[0]
    adapter = block.feed_forward.inner.parametrizations.weight
    with torch.no_grad():
        adapter[0].up.normal_()
    expected = adapter.original + 3.0 * adapter[0].up @ adapter[0].down
    torch.testing.assert_close(block.feed_forward.inner.weight, expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_learned(form: str, classifiers: dict[str, Path], out) -> None:
    (report,) = json.loads(out("evaluate", classifiers[form], "--json"))
    figure, least = ("pearson", 0.65) if form == "similarity" else ("accuracy", 95)
    assert report["scores"][figure] > least
    card = (classifiers[form] / "README.md").read_text(encoding="utf-8")
    assert f"| {figure} |" in card


def test_predictions(classifiers: dict[str, Path], texts: Path, tmp_path: Path, out) -> None:
    model: Any = package.load(classifiers["single"])
    found = model.predict(["red dog", "old house", "dog " * 100])
    assert [one.label for one in found] == ["yes", "no", "yes"]
    for text, one in zip(("red dog", "old house"), found, strict=False):
        assert look(model.reading(text)).log_probabilities == pytest.approx([math.log(one.probability)], abs=1e-4)
    assert found[0].probability == max(found[0].probabilities.values())
    assert model.predict([]) == []
    with pytest.raises(UsageError, match="record 2: 2 texts; the model reads 1"):
        model.predict(["a", ("a", "b")])
    lines = tmp_path / "lines.txt"
    lines.write_text("a red dog\na old house\n", encoding="utf-8")
    assert [line.split("\t")[::2] for line in out("classify", classifiers["single"], lines).splitlines()] == [
        ["yes", "a red dog"],
        ["no", "a old house"],
    ]
    (record,) = map(json.loads, out("classify", classifiers["single"], "--text", "a dog", "--json").splitlines())
    assert record["label"] == "yes"
    assert set(record["probabilities"]) == {"yes", "no"}
    words = ("--text", "old house", "--text", "red house", "--text", "a dog")
    assert out("classify", classifiers["choice"], *words).startswith("1\t")
    number = out("classify", classifiers["similarity"], "--text", "red", "--text", "dog").split("\t")[0]
    assert float(number) == model_value(classifiers["similarity"], ("red", "dog"))
    lines.write_text("one\ttwo\nthree\n", encoding="utf-8")
    assert sightline("classify", classifiers["pair"], lines) == 1


def model_value(run: Path, texts: tuple[str, str]) -> float:
    model: Any = package.load(run)
    (one,), (turned,) = model.predict([texts]), model.predict([texts[::-1]])
    assert one.value == pytest.approx(turned.value, abs=1e-5)  # both orders are read
    return float(f"{one.value:.4f}")


def test_the_order_of_texts_does_not_matter(classifiers: dict[str, Path]) -> None:
    model: Any = package.load(classifiers["pair"])
    draw = [("dog " * (k % 4), " ".join(list(WORDS.values())[: k % 7 + 1])) for k in range(40)]
    together = model.predict(draw)
    for texts, one in zip(draw[::7], together[::7], strict=True):
        assert model.predict([texts])[0].probabilities == pytest.approx(one.probabilities, abs=1e-5)


@pytest.mark.parametrize("weights", ["full", "head", "lora"])
def test_from_a_pretrained_run(weights: str, language_runs, labelled_files, tmp_path: Path, out, capsys) -> None:
    words = ["train", labelled_files["single"], "--run", tmp_path / "run", f"pretrained={language_runs['gpt']}",
             f"tuning.weights={weights}", "data.max_tokens=16", "training.max_updates=4",
             "training.precision=bf16"]  # fmt: skip
    assert sightline(*words) == 2  # the recipe has sizes of its own
    assert "leave it out" in capsys.readouterr().err
    text = labelled_files["single"].read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    file = tmp_path / "fine.toml"
    file.write_text(text[:begin] + text[end:], encoding="utf-8")
    words[1] = file
    assert sightline(*words) == 0
    told = capsys.readouterr().err
    assert ("of them trained" in told) == (weights != "full")
    before, after = (package.load(run) for run in (language_runs["gpt"], tmp_path / "run"))
    assert after.tokenizer.vocab_size == before.tokenizer.vocab_size
    same = torch.equal(before.model.embedding.bfloat16(), after.model.body.embedding.bfloat16())  # pyright: ignore
    assert same == (weights != "full")
    near = (before.model.embedding - after.model.body.embedding).abs().max()  # pyright: ignore
    assert near < 0.06  # four updates from where it was
    assert sightline(*words) == 0  # has ended: only read
    assert sightline(*words[:3], tmp_path / "scratch", *words[4:5], "scratch=true", *words[6:]) == 0
    scratch: Any = package.load(tmp_path / "scratch")
    assert scratch.tokenizer.fingerprint == before.tokenizer.fingerprint
    assert (before.model.embedding - scratch.model.body.embedding).abs().max() > 0.1  # pyright: ignore
    refused = {
        "recurrent": "a recurrent model of task language; "
        "the run of a GPT (language) or BERT (masked_language) is wanted",
        "none": "no such run",
    }
    for name, says in refused.items():
        capsys.readouterr()
        pretrained = language_runs.get(name, tmp_path / "nothing")
        assert sightline("train", file, "--run", tmp_path / "other", f"pretrained={pretrained}") == 2
        assert says in capsys.readouterr().err


def test_numbers_of_json_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    values = ("1", "1.0", '"1"', "-0.0", "0.5", "true", "1e300")
    path.write_text("".join(f'{{"text": "a", "label": {value}}}\n' for value in values))
    source = LabelledSource(source=str(path), texts=("text",), label="label")
    assert [label for _, label in read_labelled(source)] == ["1", "1", "1", "0", "0.5", "true", "1e+300"]
    for value in ("NaN", "-Infinity", "null"):
        path.write_text(f'{{"text": "a", "label": {value}}}\n')
        with pytest.raises(DataError, match=r"x\.jsonl:1: the value"):
            list(read_labelled(source))


@pytest.mark.filterwarnings("error")
def test_figures_of_one_class() -> None:
    examples = Examples([[1]] * 2, 1, torch.tensor([0, 0]).numpy())
    found = figures(settings(data={"labels": ("a", "b")}), torch.tensor([[2.0, 0], [1.0, 0]]), examples)
    assert (found["accuracy"], found["matthews"]) == (100, 0)


def test_what_does_not_go_together() -> None:
    cases = [
        ({"form": "pair"}, "names 1 texts; 2 are read"),
        ({"labels": ["a", "a"]}, "has one twice"),
        ({"numbers": True, "labels": ["a", "b"]}, "data.numbers goes with"),
        ({"max_tokens": 99}, "more than model.max_length"),
    ]
    for data, says in cases:
        with pytest.raises(ValueError, match=says):
            settings(data=data)
    for more in ({"tuning": {"weights": "lora"}}, {"scratch": True}):
        with pytest.raises(ValueError, match="is for a pretrained run, and none is named"):
            settings(**more)
