"""The configurations that tests train with, and the keys that make models small."""

from __future__ import annotations

from pathlib import Path

from support.data import SPLITS

# The models of each task that are trained in tests, and the keys that make them small.
MODELS = {
    "transformer": ["model.kind=transformer", "model.d_model=16", "model.num_layers=1", "model.num_heads=2",
                    "model.d_ff=32"],
    "seq2seq": ["model.kind=seq2seq", "model.width=16", "model.embedding_width=16"],
}  # fmt: skip

LANGUAGE_MODELS = {
    "gpt": ["model.kind=gpt", "model.d_model=16", "model.num_layers=1", "model.num_heads=2", "model.d_ff=32",
            "model.max_length=16", "model.attention_dropout=0"],
    "recurrent": ["model.kind=recurrent", "model.width=16", "model.embedding_width=16"],
    "window": ["model.kind=window", "model.width=16", "model.embedding_width=16"],
    "ngram": ["model.kind=ngram", "model.order=3"],
}  # fmt: skip

# The forms of fine-tuning, and the columns that each reads of the table in `labelled_text`.
FORMS = {
    "single": ('["a"]', "dog", []),
    "pair": ('["a", "b"]', "both", []),
    "similarity": (
        '["a", "b"]',
        "shared",
        ["data.numbers=true", "training.metric=pearson", "training.max_updates=500"],
    ),
    "choice": ('["a", "b", "c"]', "right", []),
}


def config_text(texts: Path) -> str:
    return f"""
task = "translation"
[data]
train = [{{ source = "{texts}/train.de", target = "{texts}/train.en" }}]
validation = {{ source = "{texts}/val.de", target = "{texts}/val.en" }}
test.test = {{ source = "{texts}/test.de", target = "{texts}/test.en" }}
[tokenizer]
vocab_size = 300
[training]
max_updates = 6
tokens_per_batch = 256
warmup = 2
validate_every = 3
save_every = 2
precision = "fp32"
threads = 1
[validation]
sentences = 5
"""


def language_text(texts: Path) -> str:
    return f"""
task = "language"
[data]
train = [{{ source = "{texts}/train.en" }}]
validation = [{{ source = "{texts}/val.en" }}]
test.test = {{ source = "{texts}/test.en" }}
block = 16
[tokenizer]
vocab_size = 300
[training]
max_updates = 60
learning_rate = 0.01
tokens_per_batch = 128
warmup = 2
validate_every = 30
save_every = 100
precision = "fp32"
threads = 1
"""


def masked_text(texts: Path) -> str:
    files = {
        name: f'{{ source = "{texts}/{name}.stories", documents = "block", sentences = "line" }}' for name in SPLITS
    }
    return f"""
task = "masked_language"
[data]
train = [{files["train"]}]
validation = [{files["val"]}]
test.test = {files["test"]}
max_tokens = 32
[tokenizer]
vocab_size = 300
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 800
learning_rate = 0.005
tokens_per_batch = 512
warmup = 100
validate_every = 200
save_every = 100
precision = "fp32"
threads = 1
"""


def tagged_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.bio" }}' for name in SPLITS}
    return f"""
task = "tagging"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
max_tokens = 32
[tokenizer]
vocab_size = 100
min_frequency = 1
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 500
learning_rate = 0.005
tokens_per_batch = 256
warmup = 50
validate_every = 250
save_every = 100
metric = "span_f1"
precision = "fp32"
threads = 1
"""


def question_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.squad.json" }}' for name in SPLITS}
    return f"""
task = "question_answering"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
max_tokens = 24
step = 6
unanswerable = true
[tokenizer]
vocab_size = 100
min_frequency = 1
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 800
learning_rate = 0.002
tokens_per_batch = 512
warmup = 50
validate_every = 200
save_every = 100
metric = "f1"
precision = "fp32"
threads = 1
"""


def image_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.npz" }}' for name in SPLITS}
    return f"""
task = "image_classification"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
[augmentation]
erase = 0.1
[model]
image_size = 12
channels = 1
patch_size = 3
d_model = 16
num_layers = 2
num_heads = 2
d_ff = 32
[training]
max_updates = 450
learning_rate = 0.01
tokens_per_batch = 512
warmup = 20
validate_every = 150
save_every = 100
metric = "accuracy"
precision = "fp32"
threads = 1
"""


def labelled_text(texts: Path, form: str) -> str:
    columns, label, _ = FORMS[form]
    files = {name: f'{{ source = "{texts}/{name}.tsv", texts = {columns}, label = "{label}" }}' for name in SPLITS}
    return f"""
task = "classification"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
form = "{form}"
max_tokens = 32
[tokenizer]
kind = "word"
min_frequency = 1
[model]
d_model = 16
num_layers = 1
num_heads = 2
d_ff = 32
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 250
learning_rate = 0.01
tokens_per_batch = 512
warmup = 20
validate_every = 50
save_every = 100
metric = "accuracy"
precision = "fp32"
threads = 1
"""
