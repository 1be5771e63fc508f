"""What a run takes over from its parent, of every kind that any task goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sightline import config
from sightline.models.bert import BertSizes
from sightline.models.classifier import BertTokenClassifier, Tuning
from sightline.nn.context import PassContext
from sightline.runs import fine_tuning
from sightline.tasks.registry import TASKS
from sightline.tasks.spec import silent
from sightline.train import storage
from sightline.train.run_directory import Run
from support.configs import LANGUAGE_MODELS, MODELS

# The configuration of each task (`support.runs`), and the keys that make small what it does not.
FILES = {
    "translation": "tiny",
    "language": "language",
    "masked_language": "masked",
    "classification": "single",
    "tagging": "tagged",
    "question_answering": "questions",
}
SMALL: dict[str, list[str]] = {**MODELS, **LANGUAGE_MODELS, "bert": []}
SMALL["gpt"] = [*SMALL["gpt"], "model.max_length=40"]  # as long as what is classified
PARENTS = [
    (spec.name, task, kind)
    for spec in TASKS.values()
    if spec.pretraining is not None
    for task, kind in spec.pretraining.parents
]


def settings_of(task: str, texts: Path, keys: list[str], without: tuple[str, ...] = ()) -> Any:
    where = texts / f"{FILES[task]}.toml"
    values = config.override(config.parse(str(where), where.read_text(encoding="utf-8")), keys)
    return config.validate(TASKS[task].settings, {k: v for k, v in values.items() if k not in without}, str(where))


def make_parent(task: str, texts: Path, path: Path, keys: list[str]) -> Run:
    """A run that holds a model as it begins, with running statistics that are not those of a new one."""
    run, spec, settings = Run(path), TASKS[task], settings_of(task, texts, keys)
    path.mkdir()
    tokenizers = spec.train_tokenizers(settings, silent)
    run.save_tokenizers(tokenizers)
    run.write_config(settings)
    weights = storage.persistent_tensors(spec.make_model(settings, tokenizers))
    run.save_weights({name: tensor.detach() + 0.5 for name, tensor in weights.items()})
    return run


def make_child(task: str, texts: Path, parent: Run, keys: list[str]) -> tuple[Any, dict[str, torch.Tensor]]:
    """A new model that has taken over what it takes of `parent`, and the parent's weights."""
    spec = TASKS[task]
    given = settings_of(task, texts, [f"pretrained={parent.path}", *keys], ("model", "tokenizer"))
    settings, _ = fine_tuning.adopt(spec, given)
    model: Any = spec.make_model(spec.complete(settings), parent.load_tokenizers())
    fine_tuning.initialise(spec, settings, model)
    return model, parent.read_weights()


@pytest.mark.parametrize(("task", "parent_task", "kind"), PARENTS)
def test_every_kind_of_parent(task: str, parent_task: str, kind: str, texts: Path, tmp_path: Path) -> None:
    parent = make_parent(parent_task, texts, tmp_path / "parent", SMALL[kind])
    pretraining = TASKS[task].pretraining
    assert pretraining is not None
    model, theirs = make_child(task, texts, parent, [])
    if pretraining.whole:
        ours = storage.persistent_tensors(model)
    else:
        prefix = TASKS[parent_task].bodies[kind]
        theirs = {name.removeprefix(prefix): one for name, one in theirs.items() if name.startswith(prefix)}
        ours = storage.persistent_tensors(model.body)
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(ours[name], one) for name, one in theirs.items())


@pytest.mark.parametrize("weights", ["full", "lora"])
def test_running_statistics_are_taken_over(weights: str, texts: Path, tmp_path: Path) -> None:
    parent = make_parent("masked_language", texts, tmp_path / "parent", ["model.norm=batch"])
    model, theirs = make_child("tagging", texts, parent, [f"tuning.weights={weights}"])
    norm = model.body.blocks[0].self_norm
    for name in ("running_mean", "running_var", "weight"):
        assert torch.equal(getattr(norm, name), theirs[f"bert.blocks.0.self_norm.{name}"])


@pytest.mark.parametrize("weights", ["full", "head", "lora"])
def test_running_statistics_of_a_frozen_body_stay(weights: Any) -> None:
    """It is then in training the function that it is in use."""
    sizes = BertSizes(d_model=8, num_layers=1, num_heads=2, d_ff=12, max_length=8, norm="batch", dropout=0)
    torch.manual_seed(0)
    model = BertTokenClassifier(20, sizes.model_copy(update={"attention_dropout": 0.0}), 3, Tuning(weights=weights))
    tokens, real = torch.randint(4, 20, (3, 6)), torch.ones(3, 6, dtype=torch.bool)
    before = {name: one.clone() for name, one in storage.persistent_buffers(model).items()}
    used = model.read(tokens, real)
    trained = model.read(tokens, real, ctx=PassContext(generator=torch.Generator().manual_seed(0)))
    after = storage.persistent_buffers(model)
    assert all(torch.equal(after[name], one) for name, one in before.items()) == (weights != "full")
    assert torch.allclose(trained, used, atol=1e-6) == (weights != "full")
