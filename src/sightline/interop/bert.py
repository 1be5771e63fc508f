"""BERT as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written."""

from __future__ import annotations

# The weight map: our names, theirs. "#" is the number of a block. Where there are several of theirs, ours is those one
# below the other.
WEIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("positions.table", ("embeddings.position_embeddings.weight",)),
    ("segments", ("embeddings.token_type_embeddings.weight",)),
    ("embedding_norm.weight", ("embeddings.LayerNorm.weight",)),
    ("embedding_norm.bias", ("embeddings.LayerNorm.bias",)),
    *(
        (f"blocks.#.self_attention.{part}", tuple(f"encoder.layer.#.attention.self.{one}.{part}" for one in QKV))
        for QKV in (("query", "key", "value"),)
        for part in ("weight", "bias")
    ),
    *(
        (f"blocks.#.{ours}.{part}", (f"encoder.layer.#.{theirs}.{part}",))
        for ours, theirs in (
            ("self_attention.output", "attention.output.dense"),
            ("self_norm", "attention.output.LayerNorm"),
            ("feed_forward.inner", "intermediate.dense"),
            ("feed_forward.outer", "output.dense"),
            ("feed_forward_norm", "output.LayerNorm"),
        )
        for part in ("weight", "bias")
    ),
    ("pooler.weight", ("pooler.dense.weight",)),
    ("pooler.bias", ("pooler.dense.bias",)),
)
# Of the heads of pretraining.
HEADS = (
    ("transform.weight", "cls.predictions.transform.dense.weight"),
    ("transform.bias", "cls.predictions.transform.dense.bias"),
    ("transform_norm.weight", "cls.predictions.transform.LayerNorm.weight"),
    ("transform_norm.bias", "cls.predictions.transform.LayerNorm.bias"),
    ("next_sentence.weight", "cls.seq_relationship.weight"),
    ("next_sentence.bias", "cls.seq_relationship.bias"),
)
# Tensors whose rows are tokens: reordered, since the two number tokens differently.
BY_TOKEN = (("embedding", "embeddings.word_embeddings.weight"), ("output_bias", "cls.predictions.bias"))
