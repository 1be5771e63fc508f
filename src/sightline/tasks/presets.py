"""The named sizes that `sightline init` chooses from by the data: models, vocabularies, batches and epochs of each.

The values are those of the recipes where there is one of that size; papers' defaults ask for more data and time.
"""

from __future__ import annotations

from sightline.tasks.spec import Scale, Values


def _training(tokens: int, rate: float, warmup: int, **more: object) -> Values:
    return {"tokens_per_batch": tokens, "learning_rate": rate, "warmup": warmup, "schedule": "cosine", **more}


def _blocks(width: int, layers: int, heads: int, d_ff: int, dropout: float, **more: object) -> Values:
    sizes = {"d_model": width, "num_layers": layers, "num_heads": heads, "d_ff": d_ff, "dropout": dropout}
    return {"model": {**sizes, **more}}


def _translation(blocks: Values, width: int, seq2seq_rate: float) -> dict[str, Values]:
    recurrent = {"model": {"embedding_width": width // 2, "width": width, "dropout": 0.3}}
    return {"transformer": blocks, "seq2seq": {**recurrent, "training": {"learning_rate": seq2seq_rate}}}


TRANSLATION = (
    Scale("tiny", 0, _translation(_blocks(128, 2, 4, 512, 0.3, pre_norm=True), 256, 3e-3),
          {"tokenizer": {"vocab_size": 2000}, "training": _training(1024, 3e-3, 200)}, 60, 20),
    Scale("small", 10_000, _translation(_blocks(128, 4, 4, 256, 0.3, pre_norm=True), 512, 2e-3),
          {"tokenizer": {"vocab_size": 8000}, "training": _training(4096, 3e-3, 400)}, 60, 20),
    Scale("base", 100_000, _translation(_blocks(256, 4, 4, 1024, 0.2, pre_norm=True), 512, 1e-3),
          {"tokenizer": {"vocab_size": 12_000}, "training": _training(4096, 1.5e-3, 500)}, 15, 5),
    Scale("large", 1_000_000, _translation(_blocks(512, 6, 8, 2048, 0.1, pre_norm=True), 1024, 5e-4),
          {"tokenizer": {"vocab_size": 32_000}, "training": _training(8192, 7e-4, 4000)}, 5, 2),
)  # fmt: skip


def _language(
    blocks: Values, recurrent: tuple[int, int, int], window: tuple[int, int], dropout: float
) -> dict[str, Values]:
    embedding, width, layers = recurrent
    sizes = {"embedding_width": embedding, "width": width, "num_layers": layers}
    return {
        "gpt": blocks,
        "recurrent": {"model": {**sizes, "dropout": dropout, "input_dropout": dropout}, "data": {"block": 64}},
        "window": {"model": {"window": 5, "embedding_width": window[0], "width": window[1], "dropout": dropout}},
    }


def _gpt(width: int, layers: int, heads: int, dropout: float) -> Values:
    return _blocks(width, layers, heads, 4 * width, dropout, attention_dropout=0.0, max_length=256)


LANGUAGE = (
    Scale("tiny", 0, _language(_gpt(128, 4, 4, 0.2), (200, 200, 1), (128, 256), 0.3),
          {"tokenizer": {"vocab_size": 2000}, "training": _training(1024, 2e-3, 100, weight_decay=0.1)}, 20, 10),
    Scale("small", 500_000, _language(_gpt(256, 4, 4, 0.2), (400, 650, 2), (256, 1024), 0.3),
          {"tokenizer": {"vocab_size": 8000}, "training": _training(2048, 1e-3, 300, weight_decay=0.1)}, 8, 4),
    Scale("base", 20_000_000, _language(_gpt(384, 6, 6, 0.1), (650, 1150, 2), (384, 2048), 0.2),
          {"tokenizer": {"vocab_size": 16_000}, "training": _training(4096, 1e-3, 500, weight_decay=0.1)}, 3, 2),
    Scale("large", 500_000_000, _language(_gpt(768, 12, 12, 0.1), (1024, 2048, 2), (512, 4096), 0.1),
          {"tokenizer": {"vocab_size": 32_000}, "training": _training(8192, 6e-4, 2000, weight_decay=0.1)}, 1, 1),
)  # fmt: skip


def _bert(width: int, layers: int, heads: int, dropout: float) -> dict[str, Values]:
    return {"bert": _blocks(width, layers, heads, 4 * width, dropout, attention_dropout=0.0, max_length=512)}


MASKED_LANGUAGE = (
    Scale("tiny", 0, _bert(128, 2, 4, 0.1),
          {"tokenizer": {"vocab_size": 2000}, "training": _training(2048, 1e-3, 100, weight_decay=0.01)}, 60, 20),
    Scale("small", 500_000, _bert(256, 4, 4, 0.1),
          {"tokenizer": {"vocab_size": 8000}, "training": _training(4096, 1e-3, 400, weight_decay=0.01)}, 20, 10),
    Scale("base", 20_000_000, _bert(384, 6, 6, 0.1),
          {"tokenizer": {"vocab_size": 16_000}, "training": _training(4096, 7e-4, 1000, weight_decay=0.01)}, 5, 3),
    Scale("large", 500_000_000, _bert(768, 12, 12, 0.1),
          {"tokenizer": {"vocab_size": 30_000}, "training": _training(8192, 3e-4, 4000, weight_decay=0.01)}, 2, 1),
)  # fmt: skip


def _encoders(width: int, layers: int, heads: int, dropout: float) -> dict[str, Values]:
    return {"gpt": _gpt(width, layers, heads, dropout), **_bert(width, layers, heads, dropout)}


RECORDS = (
    Scale("tiny", 0, _encoders(128, 2, 4, 0.3),
          {"tokenizer": {"vocab_size": 2000}, "training": _training(512, 1e-3, 100, weight_decay=0.01)}, 20, 10),
    Scale("small", 2000, _encoders(128, 4, 4, 0.2),
          {"tokenizer": {"vocab_size": 8000}, "training": _training(1024, 1e-3, 100, weight_decay=0.01)}, 10, 4),
    Scale("base", 50_000, _encoders(256, 4, 4, 0.1),
          {"tokenizer": {"vocab_size": 8000}, "training": _training(2048, 5e-4, 200, weight_decay=0.01)}, 4, 3),
    Scale("large", 1_000_000, _encoders(512, 8, 8, 0.1),
          {"tokenizer": {"vocab_size": 16_000}, "training": _training(4096, 3e-4, 500, weight_decay=0.01)}, 2, 2),
)  # fmt: skip


def _vit(width: int, layers: int, heads: int, d_ff: int, dropout: float) -> dict[str, Values]:
    return {"vit": _blocks(width, layers, heads, d_ff, dropout)}


IMAGES = (
    Scale("tiny", 0, _vit(64, 4, 4, 128, 0.1),
          {"training": _training(1088, 2e-3, 200, weight_decay=0.05)}, 60, 20),
    Scale("small", 5000, _vit(128, 6, 4, 256, 0.1),
          {"training": _training(4352, 2e-3, 300, weight_decay=0.05)}, 25, 10),
    Scale("base", 100_000, _vit(256, 8, 8, 512, 0.1),
          {"training": _training(8192, 1e-3, 500, weight_decay=0.05)}, 20, 8),
    Scale("large", 1_000_000, _vit(384, 12, 6, 1536, 0.0),
          {"training": _training(16_384, 5e-4, 2000, weight_decay=0.05)}, 10, 4),
)  # fmt: skip

# A model that has learned already is changed in smaller steps.
FURTHER: Values = {"training": {"learning_rate": 3e-4}}
