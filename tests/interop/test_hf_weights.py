"""Every tensor of another toolkit's file is read, known to be needless, or refused by name before anything is built."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForTokenClassification,
    BertModel,
    GPT2Config,
    GPT2DoubleHeadsModel,
    GPT2ForQuestionAnswering,
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
    GPT2Model,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
)

import sightline as package
from sightline.data.tagged import to_valid_bio
from sightline.errors import CheckpointError
from sightline.interop.bert import read_bert
from sightline.interop.gpt2 import read_gpt2
from sightline.interop.weights import TensorFiles
from support.commands import sightline
from support.hf_gpt2 import END, GENERIC, byte_level, gpt2

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "dog", "##s"]


def bert(folder: Path, kind: Any = BertForMaskedLM, **more: Any) -> Path:
    torch.manual_seed(1)
    model = kind(BertConfig(vocab_size=len(PIECES), **SHAPE, **more))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return folder


def vit(folder: Path, kind: Any = ViTForImageClassification) -> Path:
    torch.manual_seed(1)
    kind(ViTConfig(**SHAPE, image_size=8, patch_size=4, num_labels=3)).save_pretrained(folder)
    return folder


def gpt(folder: Path) -> Path:
    gpt2(folder, byte_level([END]), GENERIC)
    return folder


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """The folder with other tensors."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def configured(folder: Path, **changes: Any) -> Path:
    """The folder with another config.json."""
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))
    return folder


def refused(folder: Path, capsys: Any) -> str:
    """The one line that `import` ends with."""
    capsys.readouterr()
    run = folder.parent / "refused"
    assert sightline("import", folder, "--run", run) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sightline:")]
    assert "unexpected" not in line
    assert not run.exists()
    return line


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        (GPT2ForSequenceClassification, "score.weight"),
        (GPT2DoubleHeadsModel, "multiple_choice_head.summary.bias"),
        (GPT2ForTokenClassification, "classifier.bias"),
        (GPT2ForQuestionAnswering, "qa_outputs.bias"),
    ],
)
def test_a_head_is_never_left_out(kind: Any, tensor: str, tmp_path: Path, capsys) -> None:
    folder = gpt(tmp_path / "theirs")
    rows = load_file(folder / "model.safetensors")["transformer.wte.weight"].shape[0]
    kind(GPT2Config(vocab_size=rows, n_embd=16, n_layer=1, n_head=2, n_positions=16)).save_pretrained(folder)
    assert f"{tensor} has no place in this kind of model" in refused(folder, capsys)


def rename(old: str, new: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[new] = tensors[old].clone()

    return change


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (gpt, "transformer.ln_f.weight", "transformer.h.0.attn.q_norm.weight"),
        (gpt, "transformer.ln_f.weight", "transformer.adapter.weight"),
        (bert, "bert.embeddings.LayerNorm.weight", "bert.encoder.layer.0.adapter.weight"),
        (bert, "bert.embeddings.LayerNorm.weight", "cls.extra.weight"),
        (vit, "vit.layernorm.weight", "vit.embeddings.mask_token"),
    ],
)
def test_a_tensor_without_a_place_is_named(
    make: Callable[[Path], Path], old: str, new: str, tmp_path: Path, capsys
) -> None:
    assert f"{new} has no place" in refused(changed(make(tmp_path / "theirs"), rename(old, new)), capsys)


@pytest.mark.parametrize(
    ("make", "changes", "says"),
    [
        (gpt, {"n_layer": 10**6}, "lack transformer.h.1.ln_1.weight"),
        (bert, {"num_hidden_layers": 1}, "bert.encoder.layer.1.attention.output.LayerNorm.bias has no place"),
        (vit, {"num_hidden_layers": 1}, "vit.encoder.layer.1.attention.attention.key.bias has no place"),
        (gpt, {"n_embd": 10**6}, "they do not belong together"),
        (gpt, {"n_inner": 2**31 - 1}, "they do not belong together"),
        (gpt, {"n_positions": 2**31 - 1}, "they do not belong together"),
        (gpt, {"vocab_size": 10**9}, "vocab_size 1000000000, and the embedding has"),
        (bert, {"num_hidden_layers": 10**6}, "lack bert.encoder.layer.2.attention.self.query.weight"),
        (bert, {"hidden_size": 10**6}, "they do not belong together"),
        (bert, {"type_vocab_size": 2**31 - 1}, "they do not belong together"),
        (bert, {"vocab_size": 10**9}, "vocab_size 1000000000"),
        (vit, {"num_hidden_layers": 10**6}, "lack vit.encoder.layer.2."),
        (vit, {"hidden_size": 10**6}, "they do not belong together"),
        (vit, {"image_size": 2**19}, "they do not belong together"),
        (gpt, {"n_embd": 10**30}, "n_embd"),
        (gpt, {"n_embd": 2**31 - 2, "n_inner": 2**31 - 2, "n_positions": 2**31 - 2}, "sizes that no model can have"),
        (gpt, {"n_embd": "x"}, "n_embd"),
        (gpt, {"n_embd": None}, "n_embd"),
        (gpt, {"n_embd": [16]}, "n_embd"),
        (gpt, {"n_head": 1.5}, "n_head"),
        (gpt, {"layer_norm_epsilon": "nan"}, "layer_norm_epsilon"),
        (gpt, {"n_embd": float("inf")}, "config.json: not JSON (Infinity is no number)"),
        (bert, {"hidden_size": float("inf")}, "not JSON (Infinity"),
        (vit, {"hidden_size": float("nan")}, "not JSON (NaN"),
        (bert, {"id2label": ["a"]}, "id2label"),
        (bert, {"architectures": 5}, "architectures"),
        (bert, {"hidden_act": {}}, "hidden_act"),
        (gpt, {"sightline": 5}, "sightline"),
        (gpt, {"model_type": ["gpt2"]}, "model_type"),
    ],
)
def test_sizes_that_are_not_those_of_the_weights_cost_nothing(
    make: Callable[[Path], Path], changes: dict[str, Any], says: str, tmp_path: Path, capsys
) -> None:
    folder = configured(make(tmp_path / "theirs"), **changes)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert says in refused(folder, capsys)
    assert time.monotonic() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (gpt, "transformer.h.0.mlp.c_fc.weight"),
        (bert, "bert.encoder.layer.1.output.dense.bias"),
        (vit, "vit.embeddings.cls_token"),
    ],
)
def test_weights_that_are_no_numbers_are_named(
    make: Callable[[Path], Path], name: str, value: float, tmp_path: Path, capsys
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name].view(-1)[0] = value

    assert f"{name} holds nan or infinity" in refused(changed(make(tmp_path / "theirs"), spoil), capsys)


def test_weights_that_need_a_scale_are_named(tmp_path: Path, capsys) -> None:
    def quantize(tensors: dict[str, torch.Tensor]) -> None:
        name = "transformer.h.0.mlp.c_fc.weight"
        tensors[name] = (tensors[name] * 100).to(torch.int8)

    said = refused(changed(gpt(tmp_path / "theirs"), quantize), capsys)
    assert "transformer.h.0.mlp.c_fc.weight is of dtype I8" in said


def test_an_output_that_is_not_the_embedding_is_not_taken_for_it(tmp_path: Path, capsys) -> None:
    def untie(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1

    folder = changed(gpt(tmp_path / "theirs"), untie)
    assert "lm_head.weight is not tied to transformer.wte.weight" in refused(folder, capsys)
    assert not torch.equal(
        (read := read_gpt2(configured(folder, tie_word_embeddings=False))).weights["output_weight"],
        read.weights["embedding"],
    )


def test_what_follows_from_the_sizes_may_be_there(tmp_path: Path) -> None:
    """Buffers of older files, and copies of what is tied."""
    plain = read_gpt2(gpt(tmp_path / "gpt")).weights
    folder = changed(
        tmp_path / "gpt",
        lambda tensors: tensors.update(
            {
                "transformer.h.0.attn.bias": torch.ones(1, 1, 128, 128, dtype=torch.uint8),
                "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
                "lm_head.weight": tensors["transformer.wte.weight"].clone(),
            }
        ),
    )
    for name, tensor in read_gpt2(folder).weights.items():
        assert torch.equal(tensor, plain[name])
    folder = changed(
        bert(tmp_path / "bert"),
        lambda tensors: tensors.update({"bert.embeddings.position_ids": torch.arange(512)[None]}),
    )
    assert read_bert(folder).head == "masked_tokens"


def test_a_body_that_was_saved_alone_is_a_language_model(tmp_path: Path) -> None:
    """As transformers reads it: its output is its embedding."""
    folder = gpt(tmp_path / "theirs")
    expected = read_gpt2(folder).weights
    GPT2Model.from_pretrained(folder).save_pretrained(folder)
    assert "wte.weight" in load_file(folder / "model.safetensors")
    found = read_gpt2(folder)
    assert found.architecture == "GPT2Model"
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, expected[name]), name


def test_other_heads_of_a_vision_transformer(tmp_path: Path, capsys) -> None:
    folder = vit(tmp_path / "theirs", ViTForMaskedImageModeling)
    assert "lack classifier.bias; a classifier is what can be read" in refused(folder, capsys)


def test_the_parts_of_a_file_in_several_files(tmp_path: Path, capsys) -> None:
    folder = gpt(tmp_path / "theirs")
    expected = read_gpt2(folder).weights
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": sorted(tensors)[:5], "b.safetensors": sorted(tensors)[5:]}
    for file, names in parts.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    places = {name: file for file, names in parts.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for name, tensor in read_gpt2(folder).weights.items():
        assert torch.equal(tensor, expected[name]), name
    save_file({name: tensors[name] for name in sorted(tensors)[:6]}, folder / "a.safetensors")
    assert "stands in its weights twice" in refused(folder, capsys)
    (folder / "a.safetensors").unlink()
    assert "a.safetensors: cannot be read" in refused(folder, capsys)


def test_links_lead_to_files_of_the_folder_or_of_its_cache(tmp_path: Path, capsys) -> None:
    folder = gpt(tmp_path / "theirs")
    cache = tmp_path / "models--someone--gpt"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots/0123").mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        (cache / "blobs" / str(number)).write_bytes(file.read_bytes())
        (cache / "snapshots/0123" / file.name).symlink_to(f"../../blobs/{number}")
    assert sightline("import", cache / "snapshots/0123", "--run", tmp_path / "cached") == 0
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        elsewhere = tmp_path / "elsewhere"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)
        assert f"{name}: is a link out of the folder" in refused(folder, capsys)
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)  # to itself
        assert f"{name}: cannot be read" in refused(folder, capsys)
        (folder / name).unlink()
        elsewhere.rename(folder / name)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).rename(tmp_path / "kept")
        os.mkfifo(folder / name)
        assert f"{name}: is not a regular file" in refused(folder, capsys)
        (folder / name).unlink()
        (folder / name).mkdir()
        assert f"{name}: is not a regular file" in refused(folder, capsys)
        (folder / name).rmdir()
        (tmp_path / "kept").rename(folder / name)
    assert sightline("import", folder, "--run", tmp_path / "run") == 0


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 100_000, b"{}", b"[]", b"null", b"", b"\xff\xfe", b'{"model_type": "gpt2"}',
     b'{"model": null}', b'{"model": {"vocab": {"a": -1}}}', b'{"model": {"vocab": {"a": "x"}, "merges": 5}}',
     b'{"added_tokens": [{}], "model": {"vocab": {}}}', b'{"n_embd": ' + b"9" * 10_000 + b"}",
     (2**62).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}",
     (44).to_bytes(8, "little") + b'{"transformer.wte.weight":{"dtype":"F32"}}  ',
     b'{"normalizer": {"type": "Nonesuch"}, "model": {"type": "BPE", "vocab": {"<|endoftext|>": 0}, "merges": []}}'],
)  # fmt: skip
def test_damaged_files_end_in_one_line(name: str, content: bytes, tmp_path: Path, capsys) -> None:
    folder = gpt(tmp_path / "theirs")
    (folder / name).write_bytes(content)
    capsys.readouterr()
    code = sightline("import", folder, "--run", tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sightline:")]
    # of tokenizer_config.json nothing is needed
    assert (code, len(said)) in ((1, 1), *([(0, 0)] if name == "tokenizer_config.json" else []))
    assert code == 0 or ("unexpected" not in said[0] and len(said[0]) < 500)


def test_an_encoder_without_a_head_is_fine_tuned_and_not_used(tmp_path: Path, capsys) -> None:
    """It becomes a run that `pretrained` takes; nothing invented fills in blanks."""
    folder = bert(tmp_path / "theirs")
    expected = read_bert(folder).weights
    BertModel.from_pretrained(folder).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    run = tmp_path / "run"
    assert sightline("import", folder, "--run", run) == 0
    assert f"--pretrained {run}" in capsys.readouterr().err
    assert "fine-tune" in (run / "README.md").read_text()
    for words in (("fill", run, "the [MASK]"), ("look", run, "the [MASK]")):
        assert sightline(*words) == 2
        told = capsys.readouterr().err
        assert "an encoder without a head" in told
        assert "sightline init my.toml --task masked_language --pretrained" in told
    assert sightline("export", run, tmp_path / "again") == 0
    state = BertModel.from_pretrained(tmp_path / "again").state_dict()
    for name, tensor in BertModel.from_pretrained(folder).state_dict().items():
        assert torch.equal(state[name], tensor), name

    (tmp_path / "data.tsv").write_text("text\tlabel\n" + "red dog\ta\nthe dogs\tb\n" * 8)
    config = f"""
task = "classification"
pretrained = "{run}"
data = {{ train = [{{ source = "{tmp_path / "data.tsv"}", texts = ["text"], label = "label" }}], max_tokens = 16,
          validation = {{ source = "{tmp_path / "data.tsv"}", texts = ["text"], label = "label" }} }}
tuning = {{ weights = "head" }}
training = {{ max_updates = 1, precision = "fp32", device = "cpu" }}
""".replace("\n          validation", " validation")
    (tmp_path / "tuned.toml").write_text(config)
    assert sightline("train", tmp_path / "tuned.toml", "--run", tmp_path / "tuned") == 0
    tuned: Any = package.load(tmp_path / "tuned")
    for name, parameter in tuned.model.body.named_parameters():
        if not name.startswith("pooler."):  # a model of masked words alone has none
            assert torch.equal(parameter, expected[f"bert.{name}"]), name

    (tmp_path / "lines.txt").write_text("the red dog\nred dogs\n" * 8)
    config = f"""
task = "masked_language"
pretrained = "{run}"
next_sentence = false
data.train = [{{ source = "{tmp_path / "lines.txt"}" }}]
data.validation = [{{ source = "{tmp_path / "lines.txt"}" }}]
training = {{ max_updates = 1, precision = "fp32", device = "cpu" }}
"""
    (tmp_path / "further.toml").write_text(config)
    assert sightline("train", tmp_path / "further.toml", "--run", tmp_path / "further") == 0
    assert package.load(tmp_path / "further").fill("the [MASK]", top=1).blanks  # pyright: ignore


def test_tags_that_end_spans_become_those_that_begin_them(tmp_path: Path, capsys) -> None:
    """BIOES marks the last unit of a span, and one of a single unit; the spans are the same in BIO."""
    labels = ["O", "B-X", "I-X", "E-X", "S-X"]
    folder = bert(tmp_path / "theirs", BertForTokenClassification, id2label=dict(enumerate(labels)))

    def by_word(tensors: dict[str, torch.Tensor]) -> None:
        """Layers that add nothing, so that a tag depends on its token alone."""
        for name, tensor in tensors.items():
            if name.endswith(".bias") or any(one in name for one in ("output.dense", "position_emb", "token_type_emb")):
                tensor.zero_()
            if name.endswith("LayerNorm.weight"):
                tensor.fill_(1)
        tensors["classifier.weight"] = tensors["bert.embeddings.word_embeddings.weight"][[4, 8, 5, 7, 6]].clone()

    changed(folder, by_word)
    tensors = load_file(folder / "model.safetensors")
    assert sightline("import", folder, "--run", tmp_path / "run") == 0
    assert "another scheme than BIO (E-X)" in (tmp_path / "run/README.md").read_text()
    ours: Any = package.load(tmp_path / "run")
    assert ours.settings.data.tags == ("O", "B-X", "I-X", "I-X", "B-X")
    theirs = BertForTokenClassification.from_pretrained(folder).eval()
    text = "the red dogs red the dog"
    ids = [2, 5, 6, 7, 8, 6, 5, 7, 3]
    with torch.no_grad():
        said = [labels[i] for i in theirs(torch.tensor([ids])).logits[0, 1:-1].argmax(-1).tolist()]
    del said[3]  # "##s"
    tagged = ours.tag(text)
    begun = {"E": "I", "S": "B"}
    expected = [begun.get(tag[0], tag[0]) + tag[1:] for tag in said]
    assert len(set(said)) > 2
    assert list(tagged.tags) == to_valid_bio(expected)
    # a tag that two outputs stand for has the probability of both
    (tmp_path / "one.bio").write_text("the\tB-X\nred\tI-X\ndogs\tO\n", encoding="utf-8")
    with torch.no_grad():
        probability = theirs(torch.tensor([[2, 5, 6, 7, 8, 3]])).logits[0, [1, 2, 3]].softmax(-1)
    each = [probability[0, [1, 4]].sum(), probability[1, [2, 3]].sum(), probability[2, 0]]
    capsys.readouterr()
    assert sightline("evaluate", tmp_path / "run", tmp_path / "one.bio", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["scores"]["loss"] == pytest.approx(-float(torch.stack(each).log().mean()), rel=1e-4)
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    assert torch.equal(
        load_file(tmp_path / "again/model.safetensors")["classifier.weight"], tensors["classifier.weight"]
    )


@pytest.mark.parametrize(("make", "says"), [(gpt, "GPT2LMHeadModel"), (bert, "BertForMaskedLM"),
                                            (vit, "Outputs: LABEL_0, LABEL_1, LABEL_2.")])  # fmt: skip
def test_an_imported_run_has_a_card(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    assert sightline("import", make(tmp_path / "theirs"), "--run", tmp_path / "run") == 0
    card = (tmp_path / "run/README.md").read_text()
    assert says in card
    assert "parameters, fp32" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("shape", "end", "says"),
    [
        ([1_000_000_000, 1], 4, "damaged"),
        ([2, 2], 1 << 40, "damaged"),
        ([], 4, "no rows|without rows"),
        ([1_000_000_000, 0], 0, "no rows|without rows"),
    ],
)
def test_a_header_that_announces_more_than_there_is_costs_nothing(
    shape: list[int], end: int, says: str, tmp_path: Path
) -> None:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}
    header = json.dumps({"transformer.wte.weight": entry}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=says) as error:
        TensorFiles(tmp_path, "transformer.").rows("transformer.wte.weight")
    assert "\n" not in str(error.value)
