"""GPT-2 to and from Hugging Face directories: logits, tokens and greedy text as the transformers library has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from sightline.data.tokenizer import Tokenizer
from sightline.decode import SearchOptions
from sightline.errors import SightlineError
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.models import GPT, GPTSizes
from sightline.tasks.exchange import ExchangedModel
from sightline.tasks.language.decoding import generate_ids

SPECIALS = 3  # padding, beginning and end of sentence come first in Sightline
TEXT = [
    "the model reads a text and writes what follows",
    "모델은 글을 읽고 이어서 씁니다",
    "  two  spaces\n\tand a tab 42!",
] * 4


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXT, kind="bpe", vocab_size=330)


def ours(tokenizer: Tokenizer, **changes: Any) -> GPT:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64, "max_length": 40, **changes}
    model = GPT(tokenizer.vocab_size, GPTSizes(**sizes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def exchanged(model: GPT, tokenizer: Tokenizer) -> ExchangedModel:
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return ExchangedModel("next_token", model.sizes, weights, tokenizer)


def to_theirs(ids: list[int], vocab_size: int) -> list[int]:
    return [i - SPECIALS if i >= SPECIALS else vocab_size - SPECIALS for i in ids]


@pytest.mark.parametrize("changes", [{}, {"tied": False, "activation": "relu"}], ids=["tied", "untied"])
def test_exported(tokenizer: Tokenizer, tmp_path: Path, changes: dict[str, Any]) -> None:
    model = ours(tokenizer, **changes)
    write_gpt2(tmp_path, exchanged(model, tokenizer))
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert sum(p.numel() for p in theirs.parameters()) == sum(
        p.numel() for n, p in model.named_parameters()
    ) - 2 * 32 * (1 if model.sizes.tied else 2)
    ids = tokenizer.encode("the model writes", eos=True) + tokenizer.encode("글을 읽고")
    with torch.inference_mode():
        expected = theirs(torch.tensor([to_theirs(ids, tokenizer.vocab_size)])).logits[0]
        features, _ = model.decode(torch.tensor([ids]), model.start(1))
        found = model.project(features)[0]
    assert expected.std() > 0.1
    torch.testing.assert_close(found[:, SPECIALS:], expected[:, :-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, 2], expected[:, -1], atol=1e-4, rtol=1e-4)

    read = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*TEXT[:3], "unseen: Ünïcödé 🙂"]:
        assert read(text)["input_ids"] == to_theirs(tokenizer.encode(text), tokenizer.vocab_size)
        assert read.decode(read(text)["input_ids"]) == text

    prompt = tokenizer.encode("the model")
    options = SearchOptions.model_validate({"beam": 1, "max_length_factor": 0, "max_length_offset": 20})
    mine = list(generate_ids(model, [prompt], options)[0][0].tokens)
    given = torch.tensor([to_theirs(prompt, tokenizer.vocab_size)])
    greedy = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=20, do_sample=False)
    written = greedy[0, len(prompt) :].tolist()
    end = tokenizer.vocab_size - SPECIALS
    assert to_theirs(mine, tokenizer.vocab_size) == (written[: written.index(end)] if end in written else written)
    assert len(set(mine)) > 1


def test_imported(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_gpt2(tmp_path, exchanged(ours(tokenizer), tokenizer))  # for its tokenizer files
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=tokenizer.vocab_size - 2, n_embd=24, n_layer=3, n_head=2, n_positions=30)
    theirs = GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    found = read_gpt2(tmp_path)
    model = GPT(found.tokenizer.vocab_size, found.sizes)
    parameters = dict(model.named_parameters())
    assert parameters.keys() == found.weights.keys()
    for name, tensor in found.weights.items():
        parameters[name].data.copy_(tensor)
    ids = found.tokenizer.encode("the model reads", bos=False, eos=True)
    assert ids == tokenizer.encode("the model reads", eos=True)
    with torch.inference_mode():
        expected = theirs(torch.tensor([to_theirs(ids, tokenizer.vocab_size)])).logits[0]
        got = model.project(model.decode(torch.tensor([ids]), model.start(1))[0])[0]
    torch.testing.assert_close(got[:, SPECIALS:], expected[:, :-1], atol=1e-4, rtol=1e-4)

    # and back: what is written is what was read
    write_gpt2(tmp_path / "again", found)
    again = GPT2LMHeadModel.from_pretrained(tmp_path / "again").state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again[name], tensor), name


def test_what_gpt2_cannot_hold(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rotary = ours(tokenizer, positions="rotary")
    with pytest.raises(SightlineError, match=r"model\.positions: 'rotary'"):
        write_gpt2(tmp_path, exchanged(rotary, tokenizer))
    scored = Tokenizer.train(TEXT, kind="unigram", vocab_size=330)
    with pytest.raises(SightlineError, match=r"tokenizer\.kind"):
        write_gpt2(tmp_path, exchanged(ours(scored), scored))


def test_damaged_directories(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = ours(tokenizer)

    def fresh(name: str) -> Path:
        write_gpt2(tmp_path / name, exchanged(model, tokenizer))
        return tmp_path / name

    with pytest.raises(SightlineError, match=r"config\.json: cannot be read"):
        read_gpt2(tmp_path / "nothing")
    other = fresh("other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(SightlineError, match="must be 'gpt2'"):
        read_gpt2(other)
    pickled = fresh("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(SightlineError, match="pickle"):
        read_gpt2(pickled)
    cut = fresh("cut")
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SightlineError, match=r"model\.safetensors"):
        read_gpt2(cut)
    deeper = fresh("deeper")
    (deeper / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(SightlineError, match=r"lack transformer\.h\.2\.ln_1\.weight"):
        read_gpt2(deeper)
    nameless = fresh("nameless")
    whole_json = json.loads((nameless / "tokenizer.json").read_text())
    del whole_json["model"]["vocab"]["<|endoftext|>"]
    whole_json["added_tokens"] = []
    (nameless / "tokenizer.json").write_text(json.dumps(whole_json))
    with pytest.raises(SightlineError, match=r"has no <.endoftext.>"):
        read_gpt2(nameless)
    merged = fresh("merged")
    whole_json = json.loads((merged / "tokenizer.json").read_text())
    for damaged in (["a b c"], [["nope", "never"]]):
        whole_json["model"]["merges"] = damaged
        (merged / "tokenizer.json").write_text(json.dumps(whole_json))
        with pytest.raises(SightlineError, match="tokenizer is damaged"):
            read_gpt2(merged)
    sharded = fresh("sharded")
    (sharded / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(SightlineError, match="no weight_map"):
        read_gpt2(sharded)
    for change, says in (({"n_embd": 0}, "n_embd"), ({"n_positions": 99}, "do not belong together"),
                         ({"n_head": 3}, "must divide")):  # fmt: skip
        odd = fresh(f"odd-{says[:3]}")
        (odd / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(SightlineError, match=says) as told:
            read_gpt2(odd)
        assert "\n" not in str(told.value)
    del config["n_layer"]
    (odd / "config.json").write_text(json.dumps(config))
    with pytest.raises(SightlineError, match="has no 'n_layer'"):
        read_gpt2(odd)


def test_another_epsilon(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = ours(tokenizer, norm_epsilon=1e-2)
    write_gpt2(tmp_path / "wide", exchanged(model, tokenizer))
    assert read_gpt2(tmp_path / "wide").sizes.norm_epsilon == 1e-2
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "wide").eval()
    ids = torch.tensor([[5, 9, 12]])
    with torch.inference_mode():
        got = model.project(model.decode(ids, model.start(1))[0])
        torch.testing.assert_close(got[0, :, SPECIALS:], theirs(ids - SPECIALS).logits[0, :, :-1], atol=1e-4, rtol=1e-4)
