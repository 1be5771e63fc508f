"""Runs from and to the formats of other toolkits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from torch import nn

from sightline import __version__, config
from sightline.errors import DataError, UsageError
from sightline.interop.arpa import write_model as write_arpa_model
from sightline.interop.bert import read_bert, write_bert
from sightline.interop.folders import CONFIG, ForeignRecord, read_record
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.interop.model import ExchangedModel, Head, Pixels
from sightline.interop.vit import read_vit, write_vit
from sightline.runs.loading import load, spec_of
from sightline.tasks.classification.settings import ClassificationSettings
from sightline.tasks.image_classification.settings import ImageSettings
from sightline.tasks.language.settings import SIDE, LanguageSettings
from sightline.tasks.masked_language.settings import MaskedLanguageSettings
from sightline.tasks.question_answering.settings import QuestionSettings
from sightline.tasks.spec import TaskSpec
from sightline.tasks.tagging.settings import TaggingSettings
from sightline.train.run_directory import Run

Values = dict[str, object]


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
        Format("gpt2", "gpt", ("language",), write_gpt2, read_gpt2),
        Format("arpa", "ngram", ("language",), write_arpa_model),
        Format(
            "bert",
            "bert",
            ("masked_language", "encoder", "classification", "choice", "tagging", "question_answering"),
            write_bert,
            read_bert,
        ),
        Format("vit", "vit", ("images",), write_vit, read_vit),
    )
}


@dataclass(frozen=True)
class Asked:
    """What a user says of a model and its directory does not: a classifier's form, how many texts to choose from."""

    form: str = "single"
    choices: int | None = None


@dataclass(frozen=True)
class TaskOfHead:
    """How a model with one head becomes a run.

    Attributes:
        title: what it is called on the card. task: what the run has learned. settings: its schema. values: what the
            configuration says beside model, tokenizer and training.
    """

    title: str
    task: str
    settings: type[BaseModel]
    values: Callable[[ExchangedModel, Asked], Values]


def _language(model: ExchangedModel, asked: Asked) -> Values:
    block = model.sizes.model_dump()["max_length"]
    return {"data": {"validation": [], "block": block, "running": not model.documents}}


def _reading(model: ExchangedModel, **data: object) -> Values:
    """Of a BERT: it reads as much at once as it can."""
    return {"data": {"max_tokens": model.sizes.model_dump()["max_length"], **data}}


def _masked(model: ExchangedModel, asked: Asked) -> Values:
    return {**_reading(model, validation=[]), "next_sentence": model.next_sentence}


def _encoder(model: ExchangedModel, asked: Asked) -> Values:
    return {**_reading(model, validation=[]), "next_sentence": False, "encoder_only": True}


def _classes(model: ExchangedModel, asked: Asked) -> Values:
    return _reading(model, form=asked.form, labels=model.labels, numbers=not model.labels)


def _choice(model: ExchangedModel, asked: Asked) -> Values:
    if asked.choices is None:
        raise UsageError("it chooses among texts; say by --choices how many there are to choose from")
    return _reading(model, form="choice", choices=asked.choices)


def _tags(model: ExchangedModel, asked: Asked) -> Values:
    return _reading(model, tags=model.labels)


def _answers(model: ExchangedModel, asked: Asked) -> Values:
    return _reading(model, unanswerable=True)


def _images(model: ExchangedModel, asked: Asked) -> Values:
    if model.pixels is None:
        raise ValueError("a model of images needs to know how they become numbers")
    return {"data": {"classes": model.labels, **vars(model.pixels)}}


# The one place where heads of other toolkits meet tasks.
TASKS: dict[Head, TaskOfHead] = {
    "language": TaskOfHead("Language model", "language", LanguageSettings, _language),
    "masked_language": TaskOfHead("Masked language model", "masked_language", MaskedLanguageSettings, _masked),
    "encoder": TaskOfHead("Encoder", "masked_language", MaskedLanguageSettings, _encoder),
    "classification": TaskOfHead("Classifier", "classification", ClassificationSettings, _classes),
    "choice": TaskOfHead("Classifier", "classification", ClassificationSettings, _choice),
    "tagging": TaskOfHead("Tagger", "tagging", TaggingSettings, _tags),
    "question_answering": TaskOfHead("Question answerer", "question_answering", QuestionSettings, _answers),
    "images": TaskOfHead("Image classifier", "image_classification", ImageSettings, _images),
}


def _exchanged_language(run: Run) -> ExchangedModel:
    settings = run.settings(LanguageSettings)
    sizes, tokenizer = settings.model, run.load_tokenizers()[SIDE]
    return ExchangedModel("language", sizes, run.read_weights(), tokenizer, documents=settings.has_documents)


def _exchanged_masked(run: Run) -> ExchangedModel:
    settings = run.settings(MaskedLanguageSettings)
    head: Head = "encoder" if settings.encoder_only else "masked_language"
    return ExchangedModel(head, settings.model, run.read_weights(), run.load_tokenizers()[SIDE])


def _exchanged_classifier(run: Run) -> ExchangedModel:
    settings = run.settings(ClassificationSettings)
    if settings.data.form == "similarity":
        raise UsageError(f"{run.path}: form similarity; a BERT's directory has single, pair and choice")
    head: Head = "choice" if settings.data.form == "choice" else "classification"
    return _fine_tuned(run, head, settings, settings.data.labels)


def _exchanged_tagger(run: Run) -> ExchangedModel:
    settings = run.settings(TaggingSettings)
    return _fine_tuned(run, "tagging", settings, settings.data.tags)


def _exchanged_answerer(run: Run) -> ExchangedModel:
    return _fine_tuned(run, "question_answering", run.settings(QuestionSettings), ())


def _fine_tuned(
    run: Run,
    head: Head,
    settings: ClassificationSettings | TaggingSettings | QuestionSettings,
    labels: tuple[str, ...],
) -> ExchangedModel:
    # loaded for use, so that low-rank adapters are part of the weights
    model: nn.Module = load(run.path).model
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return ExchangedModel(head, settings.model, weights, run.load_tokenizers()[SIDE], labels=labels)


def _exchanged_images(run: Run) -> ExchangedModel:
    settings = run.settings(ImageSettings)
    data, channels = settings.data, settings.model.channels
    mean, std = (one * (channels // len(one)) for one in (data.mean, data.std))
    pixels = Pixels(mean, std, data.fit)
    return ExchangedModel("images", settings.model, run.read_weights(), labels=data.classes, pixels=pixels)


# By task, what a run is to other toolkits.
EXCHANGED: dict[str, Callable[[Run], ExchangedModel]] = {
    "language": _exchanged_language,
    "masked_language": _exchanged_masked,
    "classification": _exchanged_classifier,
    "tagging": _exchanged_tagger,
    "question_answering": _exchanged_answerer,
    "image_classification": _exchanged_images,
}


def export_run(path: str | Path, target: str | Path, to: str | None = None) -> tuple[str, str]:
    """Writes the model of a trained run as a directory or file of another toolkit's format, a key of `FORMATS`.

    Returns:
        The format, which the model decides where `to` does not, and what should be said of what was written.

    Raises UsageError where there is no such format, something lies at `target`, or the model does not fit the format.
    """
    if to is not None and to not in FORMATS:
        raise UsageError(f'--to: no format "{to}"; {_held()}')
    run, goal = Run(path), Path(target)
    kind = run.read_config().get("model", {}).get("kind")
    fitting = [one for one in FORMATS.values() if one.model_kind == kind and run.task in _tasks(one)]
    if not fitting or to not in (None, *(one.name for one in fitting)):
        what = f"a {kind} model of task {run.task}"
        raise UsageError(f"{path}: {what} cannot be written as {to or 'anything'}; {_held()}")
    run.verify()
    if goal.exists() and (goal.is_file() or any(goal.iterdir())):
        raise UsageError(f"{target}: is there already; choose another name, or remove it first")
    (chosen,) = fitting
    return chosen.name, chosen.write(goal, EXCHANGED[run.task](run))


def _tasks(one: Format) -> list[str]:
    return list(dict.fromkeys(TASKS[head].task for head in one.heads))


def _held() -> str:
    """Which formats there are, and the models they hold."""
    held = (f"{one.name} ({one.model_kind} models of task {', '.join(_tasks(one))})" for one in FORMATS.values())
    return "formats are " + ", ".join(held)


class ModelType(ForeignRecord):
    """What a config.json says of its kind."""

    model_type: str | None = None


def import_run(
    folder: str | Path, path: str | Path, form: str = "single", choices: int | None = None
) -> tuple[TaskSpec, Head]:
    """Makes a run, ready for use, of a Hugging Face directory with a GPT-2, a BERT or a ViT in it.

    An encoder without a head becomes a run of masked language that can be gone on from (`pretrained`), not used.

    Args:
        form: what a classifier reads, "single" texts or a "pair". choices: how many texts one that chooses among
            texts is given, of which its directory says nothing.

    Returns:
        The task that the run is of, and what lies on the model.

    Raises:
        UsageError: where something lies at `path`, or `choices` is missing or has no meaning.
        DataError, CheckpointError: where the directory is not such a model's.
    """
    run = Run(path)
    if run.path.exists() and (run.path.is_file() or any(run.path.iterdir())):
        raise UsageError(f"{path}: is there already; choose another --run")
    where = Path(folder) / CONFIG
    kind = read_record(ModelType, where).model_type
    readers = {one.name: one.read for one in FORMATS.values() if one.read is not None}
    if kind not in readers:
        known = " or ".join(f"'{name}'" for name in readers)
        raise DataError(f"{where}: model_type is {kind!r}; what can be imported is {known}")
    model = readers[kind](Path(folder))
    if choices is not None and model.head != "choice":
        raise UsageError("--choices is for a model that chooses among texts, and this one does not")
    values = TASKS[model.head].values(model, Asked(form, choices))
    settings = _settings(TASKS[model.head].settings, model, values)
    run.save_tokenizers({SIDE: model.tokenizer} if model.tokenizer else {})
    run.write_config(settings)
    run.save_weights(model.weights)
    run.write_card(_card(Path(folder), model))
    return spec_of(run), model.head


def _settings(schema: type[BaseModel], model: ExchangedModel, values: Values) -> BaseModel:
    """Settings of a run that was never trained here."""
    data = values["data"]
    found: Values = {"model": model.sizes, "training": {"precision": "fp32", "device": "cpu"}, **values}
    found["data"] = {"train": [], **data} if isinstance(data, dict) else data
    if model.tokenizer is not None:
        found["tokenizer"] = {"vocab_size": model.tokenizer.vocab_size}
    return config.validate(schema, found, "import")


def _card(folder: Path, model: ExchangedModel) -> str:
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
    return "\n\n".join([f"# {TASKS[model.head].title}, {model.sizes.kind}", *about, ""])
