"""Small models of every configuration, and one batch for them, for tests of properties."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from sightline.models import Seq2SeqSizes, TransformerSizes, make_encoder_decoder
from sightline.nn.norms import BatchNorm

VOCAB = 23
SOURCE = torch.randint(4, VOCAB, (4, 6), generator=torch.Generator().manual_seed(0))
SOURCE_LENGTHS = [6, 3, 5, 1]
SOURCE_MASK = torch.arange(6) < torch.tensor(SOURCE_LENGTHS)[:, None]
TARGET = torch.randint(4, VOCAB, (4, 5), generator=torch.Generator().manual_seed(1))
TARGET_LENGTHS = [5, 5, 2, 3]
TARGET_MASK = torch.arange(5) < torch.tensor(TARGET_LENGTHS)[:, None]
BATCH = (SOURCE, SOURCE_MASK, TARGET, TARGET_MASK)

TIED = ("all", "decoder", "none")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second thread; on a busy machine waiting for it is most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seq2seq_cases() -> list[Seq2SeqSizes]:
    """Cells × wirings × scores; layers, directions, tying, starts and what is read out go round, so that each meets
    each."""
    attentive = itertools.product(["dot", "scaled_dot", "general", "additive"], ["bahdanau", "luong", "luong fed"])
    wirings = [
        {"attention": score, "order": order.split()[0], "input_feeding": "fed" in order} for score, order in attentive
    ]
    wirings += [{"attention": "none", "context": context} for context in ("start", "every_step")]
    cells = [("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]
    cases = []
    for number, ((cell, nonlinearity), wiring) in enumerate(itertools.product(cells, wirings)):
        rest = {"num_layers": 1 + number % 2, "bidirectional": number % 4 < 2, "tied": TIED[number % 3]}
        rest["decoder_start"] = ("tanh", "last", "zero" if wiring.get("context") != "start" else "tanh")[
            number // 3 % 3
        ]
        rest["recurrent_init"] = ("uniform", "orthogonal", "identity")[number // 2 % 3]
        rest["previous_token_in_readout"] = wiring["attention"] == "none" and number % 2 == 0
        widths = {"embedding_width": 6, "width": 8, "dropout": 0.3}
        cases.append(Seq2SeqSizes(cell=cell, nonlinearity=nonlinearity, **wiring, **rest, **widths))  # pyright: ignore
    return cases


def transformer_cases() -> list[TransformerSizes]:
    """Positions × norms × their place; activations, tying, heads, widths, scales and residuals go round."""
    cases = []
    axes = itertools.product(
        ["sinusoidal", "binary", "square", "learned", "rotary", "none"],
        ["layer", "rms", "batch", "none"],
        [False, True],
    )
    for number, (positions, norm, pre_norm) in enumerate(axes):
        rest = {
            "activation": ("relu", "gelu", "swiglu")[(number + number // 6) % 3],
            "tied": TIED[number // 2 % 3],
            "value_width": (None, 4, 12)[number // 3 % 3],
            "num_decoder_layers": (None, 1)[number % 2],
            "num_kv_heads": (None, 1)[number // 5 % 2],
            "attention_scale": ("sqrt_d_k", "sqrt_d_model", "none")[number // 4 % 3],
            "residual": number % 7 != 3,
        }
        widths = {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 12, "max_length": 16}
        rates = {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.2}
        cases.append(TransformerSizes(positions=positions, norm=norm, pre_norm=pre_norm, **rest, **widths, **rates))  # pyright: ignore
    return cases


def name(sizes: Seq2SeqSizes | TransformerSizes) -> str:
    """What is set apart from the defaults, for the test's name."""
    same = {"embedding_width", "width", "d_model", "num_heads", "d_ff", "max_length", "kind"}
    same |= {"dropout", "attention_dropout", "activation_dropout"}
    apart = sizes.model_dump(exclude_defaults=True, exclude=same)
    return f"{sizes.kind}-" + "-".join(f"{key}={value}" for key, value in apart.items())


def make(sizes: Seq2SeqSizes | TransformerSizes) -> Any:
    """A model with random weights and biases, and batch norms that have seen something."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = make_encoder_decoder(VOCAB, VOCAB, sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            if isinstance(sizes, TransformerSizes) and sizes.norm == "none":
                parameter *= 0.5  # or activations grow from layer to layer, and rounding with them
        for module in model.modules():
            if type(module) is BatchNorm:
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(2.0, 4.0, generator=generator)
    return model


def close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def logits(model: Any, *batch: Tensor | None) -> Tensor:
    return model.project(model.features(*(batch or BATCH)))
