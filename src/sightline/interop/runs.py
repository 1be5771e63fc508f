"""Runs from and to the formats of other toolkits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from sightline import __version__, config
from sightline.errors import DataError, UsageError
from sightline.interop.arpa import write_model as write_arpa_model
from sightline.interop.bert import read_bert, write_bert
from sightline.interop.folders import CONFIG, ForeignRecord, read_record
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.interop.vit import read_vit, write_vit
from sightline.predict.predictor import Predictor
from sightline.runs.loading import load, run_path, spec_of
from sightline.runs.packing import making
from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Head, Values
from sightline.tasks.registry import TASKS
from sightline.tasks.spec import TaskSpec
from sightline.train.run_directory import Run


@dataclass(frozen=True)
class Format:
    """A format of another toolkit.

    Attributes:
        name: what `--to` calls it. model_kind: the kind of model it holds. heads: what may lie on one. write: a model
            to a folder or file; returns what should be said of it, or nothing. read: a model from a folder, where that
            can be; config.json's `model_type` is the format's name then.
    """

    name: str
    model_kind: str
    heads: tuple[Head, ...]
    write: Callable[[Path, ExchangedModel], str]
    read: Callable[[Path], ExchangedModel] | None = None


FORMATS = {
    one.name: one
    for one in (
        Format("gpt2", "gpt", ("next_token",), write_gpt2, read_gpt2),
        Format("arpa", "ngram", ("next_token",), write_arpa_model),
        Format(
            "bert",
            "bert",
            ("masked_tokens", "encoder", "sequence_classes", "choice", "token_classes", "answer_span"),
            write_bert,
            read_bert,
        ),
        Format("vit", "vit", ("image_classes",), write_vit, read_vit),
    )
}


@dataclass(frozen=True)
class Exported:
    """A model in another toolkit's format: where, in which, and what should be said of it, or nothing."""

    path: Path
    format: str
    remark: str = ""


@dataclass(frozen=True)
class Imported:
    """A run made of another toolkit's model: where, the task that it is of, and what lies on the model; of an "encoder"
    nothing does, and it is to be fine-tuned."""

    path: Path
    task: str
    head: Head

    def load(self, *, precision: str = "fp32", device: str = "cpu") -> Predictor:
        """The run, ready for use; see `sightline.load`."""
        return load(self.path, precision=precision, device=device)


def _exchange_of(head: Head) -> tuple[TaskSpec, Exchange]:
    """The task whose runs have such a head, and how they are made."""
    return next((spec, one) for spec in TASKS.values() for one in spec.exchanges if one.head == head)


def export_run(run: str | Path | Predictor, target: str | Path, to: str | None = None) -> Exported:
    """Writes the model of a trained run as a directory or file of another toolkit's format: `sightline.export`.

    Args:
        run: a run directory, or a loaded run. target: the folder or file to write.
        to: a key of `FORMATS`: gpt2, bert or vit, which are Hugging Face directories, or arpa; else the model decides.

    Raises UsageError where there is no such format, something lies at `target`, or the model does not fit the format.
    """
    if to is not None and to not in FORMATS:
        raise UsageError(f'to: no format "{to}"; {_held()}')
    path, goal = run_path(run), Path(target)
    opened = Run(path)
    spec = spec_of(opened)
    kind = opened.read_config().get("model", {}).get("kind")
    fitting = [one for one in FORMATS.values() if one.model_kind == kind and spec.name in _tasks(one)]
    if not fitting or to not in (None, *(one.name for one in fitting)):
        what = f"a {kind} model of task {spec.name}"
        raise UsageError(f"{path}: {what} cannot be written as {to or 'anything'}; {_held()}")
    opened.verify()
    if goal.exists() and (goal.is_file() or any(goal.iterdir())):
        raise UsageError(f"{target}: is there already; choose another name, or remove it first")
    (chosen,), exchanged = fitting, spec.exchanged
    if exchanged is None:
        raise UsageError(f"{path}: a run of task {spec.name} cannot be written in other formats")
    return Exported(goal, chosen.name, chosen.write(goal, exchanged(opened)))


def _tasks(one: Format) -> list[str]:
    return list(dict.fromkeys(_exchange_of(head)[0].name for head in one.heads))


def _held() -> str:
    """Which formats there are, and the models they hold."""
    held = (f"{one.name} ({one.model_kind} models of task {', '.join(_tasks(one))})" for one in FORMATS.values())
    return "formats are " + ", ".join(held)


class ModelType(ForeignRecord):
    """What a config.json says of its kind."""

    model_type: str | None = None


def import_run(folder: str | Path, run: str | Path, form: str = "single", choices: int | None = None) -> Imported:
    """Makes a run, ready for use, of a Hugging Face directory with a GPT-2, a BERT or a ViT in it: `sightline.import_`.

    An encoder without a head becomes a run of masked language that can be gone on from (`pretrained`), not used.

    Args:
        run: the run directory to make.
        form: what a classifier reads, "single" texts or a "pair". choices: how many texts one that chooses among
            texts is given, of which its directory says nothing.

    Raises:
        UsageError: where something lies at `run`, or `choices` is missing or has no meaning.
        DataError, CheckpointError: where the directory is not such a model's.
    """
    path = Path(run)
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise UsageError(f"{path}: is there already; choose another run directory")
    where = Path(folder) / CONFIG
    kind = read_record(ModelType, where).model_type
    readers = {one.name: one.read for one in FORMATS.values() if one.read is not None}
    if kind not in readers:
        known = " or ".join(f"'{name}'" for name in readers)
        raise DataError(f"{where}: model_type is {kind!r}; what can be imported is {known}")
    model = readers[kind](Path(folder))
    if choices is not None and model.head != "choice":
        raise UsageError("choices: is for a model that chooses among texts, and this one does not")
    spec, exchange = _exchange_of(model.head)
    settings = _settings(spec.settings, model, exchange.values(model, Asked(form, choices)))
    with making(path) as made:
        made.save_tokenizers({"text": model.tokenizer} if model.tokenizer else {})
        made.write_config(settings)
        made.save_weights(model.weights)
        made.write_card(_card(Path(folder), model, exchange.title))
    return Imported(path, spec.name, model.head)


def _settings(schema: type[BaseModel], model: ExchangedModel, values: Values) -> BaseModel:
    """Settings of a run that was never trained here."""
    data = values["data"]
    found: Values = {"model": model.sizes, "training": {"precision": "fp32", "device": "cpu"}, **values}
    found["data"] = {"train": [], **data} if isinstance(data, dict) else data
    if model.tokenizer is not None:
        found["tokenizer"] = {"vocab_size": model.tokenizer.vocab_size}
    return config.validate(schema, found, "import")


def _card(folder: Path, model: ExchangedModel, title: str) -> str:
    """The README of an imported run."""
    count = sum(tensor.numel() for tensor in model.weights.values())
    about = [
        f"Imported by Sightline {__version__} from a Hugging Face directory, `{folder.resolve().name}`, with a "
        f"{model.architecture} in it: {count:,} parameters, fp32. It was not trained or measured here."
    ]
    if model.labels:
        more = f" and {len(model.labels) - 20} more" if len(model.labels) > 20 else ""
        about.append(f"Outputs: {', '.join(model.labels[:20])}{more}.")
    if model.head == "encoder":
        about.append("It came without a head: fine-tune it, or go on pretraining it, by `pretrained`.")
    about += [*model.remarks, "Everything that is known of it is in `config.toml`."]
    return "\n\n".join([f"# {title}, {model.sizes.kind}", *about, ""])
