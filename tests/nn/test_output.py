"""The adaptive softmax: PyTorch's numbers, probabilities that sum to one, a loss that is theirs, and that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sightline as package
from sightline.nn.output import Clusters, make_clusters, output_logits, output_loss
from support.commands import sightline
from support.configs import LANGUAGE_MODELS

WIDTH, VOCAB = 8, 30


@pytest.fixture
def parts() -> tuple[torch.Tensor, torch.Tensor, Clusters, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    clusters = Clusters(WIDTH, (10, 18), VOCAB)
    for parameter in clusters.parameters():
        torch.nn.init.normal_(parameter)
    return (
        torch.randn(VOCAB, WIDTH),
        torch.randn(VOCAB),
        clusters,
        torch.randn(50, WIDTH),
        torch.randint(0, VOCAB, (50,)),
    )


def test_it_is_pytorchs(parts) -> None:
    """With the identity where theirs narrows the features, and without the biases they do not have."""
    weight, bias, clusters, features, targets = parts
    bias[10:] = 0
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(WIDTH, VOCAB, [10, 18], div_value=1.0, head_bias=True)
    with torch.no_grad():
        theirs.head.weight.copy_(torch.cat([weight[:10], clusters.weight]))
        theirs.head.bias.copy_(torch.cat([bias[:10], clusters.bias]))
        for tail, rows in zip(theirs.tail, (weight[10:18], weight[18:]), strict=True):
            tail[0].weight.copy_(torch.eye(WIDTH))  # pyright: ignore
            tail[1].weight.copy_(rows)  # pyright: ignore
    expected = theirs(features, targets)
    torch.testing.assert_close(output_loss(features, weight, bias, targets, clusters), -expected.output.sum())
    logits = output_logits(features, weight, bias, clusters)
    torch.testing.assert_close(logits, theirs.log_prob(features))


def test_probabilities_sum_to_one_and_the_loss_is_theirs(parts) -> None:
    weight, bias, clusters, features, targets = parts
    logits = output_logits(features.view(5, 10, WIDTH), weight, bias, clusters).flatten(0, 1)
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(50))
    loss = output_loss(features, weight, bias, targets, clusters)
    torch.testing.assert_close(loss, -logits.gather(1, targets[:, None]).sum())


def test_gradients(parts) -> None:
    weight, bias, clusters, features, targets = parts
    inputs = [features, weight, bias, *clusters.parameters()]
    for one in inputs:
        one.requires_grad_()
    found = torch.autograd.grad(output_loss(features, weight, bias, targets, clusters), inputs)
    logits = output_logits(features, weight, bias, clusters)
    expected = torch.autograd.grad(-logits.gather(1, targets[:, None]).sum(), inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_at_first_all_tokens_are_as_likely() -> None:
    clusters = make_clusters(WIDTH, (10, 18), VOCAB)
    logits = output_logits(torch.randn(3, WIDTH), torch.zeros(VOCAB, WIDTH), torch.zeros(VOCAB), clusters)
    torch.testing.assert_close(logits.exp(), torch.full((3, VOCAB), 1 / VOCAB))
    assert make_clusters(WIDTH, (), VOCAB) is None
    for cutoffs in ((10, 10), (18, 10), (30,), (0, 4)):
        with pytest.raises(ValueError, match="must rise"):
            Clusters(WIDTH, cutoffs, VOCAB)


@pytest.mark.parametrize("kind", ["gpt", "recurrent", "window"])
def test_a_language_model_with_it(kind: str, language_file: Path, tmp_path: Path, capsys) -> None:
    words = ["train", language_file, "--run", tmp_path / "run", *LANGUAGE_MODELS[kind], "tokenizer.kind=space",
             "tokenizer.min_frequency=1"]  # fmt: skip
    assert sightline(*words, "model.cutoffs=[6, 9]") == 0
    capsys.readouterr()
    assert sightline("evaluate", tmp_path / "run", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["scores"]["perplexity"] < 8.5  # seven words and the end of a line
    model = package.load(tmp_path / "run")
    scored = model.score("a red house")  # pyright: ignore
    assert scored.log_probability == pytest.approx(sum(scored.token_log_probabilities))
    for keys, says in (
        (["model.cutoffs=[6, 90]"], "lies beyond the vocabulary"),
        (["model.cutoffs=[9, 6]"], "must rise"),
        (["model.cutoffs=[6]", "tokenizer.kind=bpe"], "need ids by frequency"),
    ):
        capsys.readouterr()
        assert sightline(*words[:3], tmp_path / "other", *words[4:], *keys) == 2
        assert says in capsys.readouterr().err
