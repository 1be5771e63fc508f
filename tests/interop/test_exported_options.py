"""Every option of a model that other toolkits' formats hold is written, and read again, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError
from sightline.interop.bert import read_bert, write_bert
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.interop.vit import read_vit, write_vit
from sightline.interop.weights import lay_out, linear
from sightline.models import GPT, BertForPretraining, BertSizes, GPTSizes
from sightline.models.vit import ViT, ViTSizes
from sightline.tasks.exchange import ExchangedModel, Head, Pixels

TOKENIZER = Tokenizer.train(["a text to read"], kind="char", vocab_size=40, min_frequency=1)
SMALL: dict[str, Any] = {"d_model": 16, "num_layers": 1, "num_heads": 4, "d_ff": 24}
# Another value of each option than the one that the format or `SMALL` has.
OTHER: dict[str, Any] = {
    "d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 12, "max_length": 12, "num_kv_heads": 2, "value_width": 8,
    "attention_scale": "sqrt_d_model", "positions": "sinusoidal", "norm": "rms", "norm_epsilon": 1e-3,
    "residual": False, "activation": "relu", "dropout": 0.25, "attention_dropout": 0.25, "tied": False, "cutoffs": (8,),
    "segments": 3, "image_size": 16, "patch_size": 2, "channels": 1,
}  # fmt: skip
REFUSED = {"num_kv_heads", "value_width", "attention_scale", "positions", "norm", "residual", "pre_norm", "cutoffs"}
# Not of the function that is exchanged, and without a place in any of the formats.
OF_TRAINING = {"kind", "activation_dropout"}


@dataclass(frozen=True)
class Format:
    sizes: type[Any]
    fixed: dict[str, Any]
    head: Head
    make: Callable[[Any], torch.nn.Module]
    read: Callable[[Path], ExchangedModel]
    write: Callable[[Path, ExchangedModel], str]


def vit_pixels(sizes: Any) -> Pixels | None:
    return Pixels((0.5,) * sizes.channels, (0.5,) * sizes.channels, "squash") if type(sizes) is ViTSizes else None


FORMATS = {
    "gpt2": Format(
        GPTSizes,
        {"max_length": 16},
        "next_token",
        lambda sizes: GPT(TOKENIZER.vocab_size, sizes),
        read_gpt2,
        write_gpt2,
    ),
    "bert": Format(
        BertSizes,
        {"max_length": 16},
        "masked_tokens",
        lambda sizes: BertForPretraining(TOKENIZER.vocab_size + 1, sizes),
        read_bert,
        write_bert,
    ),
    "vit": Format(
        ViTSizes, {"image_size": 8, "patch_size": 4}, "image_classes", lambda sizes: ViT(sizes, 3), read_vit, write_vit
    ),
}
CASES = [(name, field) for name, one in FORMATS.items() for field in one.sizes.model_fields if field not in OF_TRAINING]


def exchanged(form: Format, options: dict[str, Any]) -> ExchangedModel:
    sizes = form.sizes(**{**SMALL, **form.fixed, **options})
    torch.manual_seed(0)
    weights = {name: parameter.detach() for name, parameter in form.make(sizes).named_parameters()}
    labels = ("a", "b", "c") if form.head == "image_classes" else ()
    return ExchangedModel(form.head, sizes, weights, TOKENIZER, labels=labels, pixels=vit_pixels(sizes))


@pytest.mark.parametrize(("name", "field"), CASES)
def test_an_option_is_written_or_refused(name: str, field: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    other = not form.sizes.model_fields[field].default if field == "pre_norm" else OTHER[field]
    given = exchanged(form, {field: other})
    if field in REFUSED:
        with pytest.raises(UsageError, match=rf"^model\.{field}: .* has no place in "):
            form.write(tmp_path / "out", given)
        return
    form.write(tmp_path / "out", given)
    found = form.read(tmp_path / "out")
    assert found.sizes == given.sizes
    assert found.weights.keys() == given.weights.keys()
    compared = [one for one in found.weights if "embedding" not in one and "output" not in one]  # tokens are reordered
    assert all(torch.equal(found.weights[one], given.weights[one]) for one in compared)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_so_anyway_may_be_said(name: str, tmp_path: Path) -> None:
    given = exchanged(FORMATS[name], {"num_kv_heads": 4, "value_width": 16, "residual": True})
    FORMATS[name].write(tmp_path / "out", given)
    assert FORMATS[name].read(tmp_path / "out").weights.keys() == given.weights.keys()


def test_parts_are_equal() -> None:
    rows = linear("attention", "query", "key", "value")
    with pytest.raises(ValueError, match=r"attention\.weight: 7 rows are not 3 equal parts"):
        lay_out({"attention.weight": torch.zeros(7, 4)}, rows, ())
