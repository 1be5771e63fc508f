"""Runs from and to the formats of other toolkits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.errors import UsageError, nearest
from sightline.interop.arpa import write_arpa
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.models import NGram
from sightline.run import Run
from sightline.tasks.language import SIDE, LanguageSettings


def _to_gpt2(run: Run, settings: LanguageSettings, target: Path) -> None:
    sizes: Any = settings.model
    write_gpt2(target, sizes, run.load_tokenizers()[SIDE], run.read_weights(), settings.has_documents)


def _to_arpa(run: Run, settings: LanguageSettings, target: Path) -> None:
    tokenizer, sizes = run.load_tokenizers()[SIDE], settings.model
    model = NGram.from_tensors(run.read_weights(), tokenizer.vocab_size, sizes)  # pyright: ignore[reportArgumentType]
    write_arpa(model, tokenizer.tokens(range(tokenizer.vocab_size)), target)


# format: the kind of model it holds, and how it is written
FORMATS = {"gpt2": ("gpt", _to_gpt2), "arpa": ("ngram", _to_arpa)}


def export_run(path: str | Path, target: str | Path, to: str) -> None:
    """Writes the model of a trained run as a directory ("gpt2") or file ("arpa") of another toolkit's format.

    Raises UsageError where there is no such format, something lies at `target`, or the model does not fit the format.
    """
    if to not in FORMATS:
        raise UsageError(f'--to: no format "{to}"{nearest(to, FORMATS)}')
    run, goal = Run(path), Path(target)
    wanted, write = FORMATS[to]
    kind = run.read_config().get("model", {}).get("kind")
    if run.task != "language" or kind != wanted:
        raise UsageError(f"{path}: a {kind} model of task {run.task}; format {to} holds {wanted} language models")
    run.verify()
    if goal.exists() and (goal.is_file() or any(goal.iterdir())):
        raise UsageError(f"{target}: is there already; choose another name, or remove it first")
    write(run, run.settings(LanguageSettings), goal)


def import_run(folder: str | Path, path: str | Path) -> None:
    """Makes a run, ready for use, of a Hugging Face GPT-2 directory.

    Raises:
        UsageError: where something lies at `path`.
        DataError, CheckpointError: where the directory is not a GPT-2's.
    """
    run = Run(path)
    if run.path.exists() and (run.path.is_file() or any(run.path.iterdir())):
        raise UsageError(f"{path}: is there already; choose another --run")
    found = read_gpt2(folder)
    data = {"train": [], "validation": [], "block": found.sizes.max_length, "running": not found.documents}
    values = {"data": data, "model": found.sizes, "training": {"precision": "fp32", "device": "cpu"}}
    settings = LanguageSettings.model_validate({**values, "tokenizer": {"vocab_size": found.tokenizer.vocab_size}})
    run.save_tokenizers({SIDE: found.tokenizer})
    run.write_config(settings)
    run.save_weights(found.weights)
