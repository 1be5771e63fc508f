"""Malformed input: one clear line, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.commands import sightline
from support.configs import LANGUAGE_MODELS, MODELS


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def check(*words: object, code: int, says: str) -> str:
        capsys.readouterr()
        assert sightline(*words) == code
        told = capsys.readouterr().err
        errors = [line for line in told.splitlines() if line.startswith("sightline: ")]
        assert len(errors) == 1, told
        assert says in errors[0], told
        assert "Traceback" not in told
        return errors[0]

    return check


def train_on(source: Path, target: Path | None = None) -> list[str]:
    files = f'source = "{source}"' + (f', target = "{target}"' if target else "")
    return [f"data.train=[{{ {files} }}]"]


TEXTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "no such file"),
    "empty": (b"", "is empty"),
    "not UTF-8": ("schön\n".encode("latin-1") * 300, "not UTF-8"),
    "UTF-16": ("haus\n".encode("utf-16") * 300, "UTF-16"),
    "NUL": (b"haus\nhu\0nd\n" + b"haus\n" * 298, ":2: NUL"),
    "too few lines": (b"haus\n" * 299, "299"),
    "only empty lines": (b"\n" * 300, "check"),
}


@pytest.fixture
def trained_on(
    config_file: Path,
    language_file: Path,
    masked_file: Path,
    labelled_files: dict[str, Path],
    tagged_file: Path,
    question_file: Path,
    texts: Path,
    tmp_path: Path,
) -> Callable[[str, Path], list]:
    """The words that train a model of a task on one given file."""

    def words(task: str, source: Path) -> list:
        run = ("--run", tmp_path / "run")
        if task == "translation":
            return ["train", config_file, *run, *train_on(source, texts / "train.en")]
        if task == "classification":
            files = f'data.train=[{{ source = "{source}", texts = [0], label = 0 }}]'
            return ["train", labelled_files["single"], *run, files]
        if task == "tagging":
            return ["train", tagged_file, *run, *train_on(source)]
        if task == "question_answering":
            return ["train", question_file, *run, *train_on(source)]
        if task == "masked_language":
            return ["train", masked_file, *run, *train_on(source)]
        return ["train", language_file, *run, *train_on(source), *LANGUAGE_MODELS["gpt"]]

    return words


TASKS = ("translation", "language", "masked_language", "classification", "tagging", "question_answering")
every_task = pytest.mark.parametrize("task", TASKS)


@every_task
@pytest.mark.parametrize("what", TEXTS)
def test_malformed_text(task: str, what: str, refused, trained_on, tmp_path: Path) -> None:
    content, says = TEXTS[what]
    if task != "translation" and what == "too few lines":
        pytest.skip("there are no lines to be paired")
    source = tmp_path / "source.txt"
    if content is not None:
        source.write_bytes(content.replace(b"\n", b"\tO\n") if task == "tagging" and what == "NUL" else content)
    refused(*trained_on(task, source), code=1, says=says)
    assert not (tmp_path / "run" / "config.toml").exists() or what == "only empty lines"


@every_task
def test_directory_as_text(task: str, refused, trained_on, tmp_path: Path) -> None:
    refused(*trained_on(task, tmp_path), code=1, says="is a directory")


@every_task
def test_damaged_gzip(task: str, refused, trained_on, tmp_path: Path) -> None:
    source = tmp_path / "source.gz"
    source.write_bytes(b"\x1f\x8b\x08\x00 not really")
    refused(*trained_on(task, source), code=1, says="damaged or cut short")


@pytest.mark.parametrize("task", [*TASKS, "image_classification"])
def test_a_test_set_is_looked_at_before_training(
    task: str, refused, config_file, language_file, masked_file, labelled_files, tagged_file, question_file, image_file,
    tmp_path: Path,
) -> None:  # fmt: skip
    files = {"translation": config_file, "language": language_file, "masked_language": masked_file,
             "classification": labelled_files["single"], "tagging": tagged_file, "question_answering": question_file,
             "image_classification": image_file}  # fmt: skip
    more = {"classification": ", texts = [0], label = 1", "translation": f", target = '{tmp_path}/none'"}
    keys = LANGUAGE_MODELS["gpt"] if task == "language" else []
    missing = f"data.test={{ t = {{ source = '{tmp_path}/none'{more.get(task, '')} }} }}"
    refused("train", files[task], "--run", tmp_path / "run", *keys, missing, code=1, says="no such file")
    assert not (tmp_path / "run" / "checkpoints").exists()
    labels = {"classification": ("red\tperhaps", "no training record has the label"),
              "tagging": ("haus\tB-XY", "no training record has the tag")}  # fmt: skip
    if task in labels:
        (tmp_path / "none").write_text(labels[task][0] + "\n")
        refused("train", files[task], "--run", tmp_path / "run", *keys, missing, code=1, says=labels[task][1])
        assert not (tmp_path / "run" / "checkpoints").exists()


def test_tsv_without_the_column(refused, config_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "pairs.tsv"
    source.write_text("only one column\n" * 5, encoding="utf-8")
    refused("train", config_file, "--run", tmp_path / "run", *train_on(source), code=1, says=":1:")


def test_json_line_that_is_none(refused, config_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"source": "a", "target": "b"}\nnot json\n', encoding="utf-8")
    refused("train", config_file, "--run", tmp_path / "run", *train_on(source), code=1, says=":2:")


def test_ten_megabyte_line_is_skipped_and_counted(config_file: Path, tmp_path: Path, capsys) -> None:
    source, target = tmp_path / "long.de", tmp_path / "long.en"
    source.write_text("haus\n" * 50 + "x" * 10_000_000 + "\n", encoding="utf-8")
    target.write_text("house\n" * 50 + "y" * 10_000_000 + "\n", encoding="utf-8")
    words = (
        "training.max_updates=1",
        "validation.sentences=0",
        "training.metric=loss",
        "model.d_model=8",
        "model.num_heads=1",
    )
    assert sightline("train", config_file, "--run", tmp_path / "run", *train_on(source, target), *words) == 0
    told = capsys.readouterr().err
    assert "51 pairs read, 50 kept" in told
    assert "skipped: 1 " in told


CONFIGS = {
    "unknown key": (["training.learnin_rate=1"], "training.learnin_rate: unknown key; did you mean \"learning_rate\"?"),
    "unknown section": (["trainin.seed=1"], "trainin: unknown key; did you mean \"training\"?"),
    "unknown model key": (["model.d_modle=8"], "model.d_modle: unknown key; did you mean \"d_model\"?"),
    "unknown choice": (["model.positions=sinusiodal"], "did you mean \"sinusoidal\"?"),
    "unknown model": (["model.kind=transfromer"], "did you mean \"transformer\"?"),
    "wrong type": (["training.max_updates=many"], "training.max_updates: "),
    "out of range": (["model.dropout=1.5"], "model.dropout: "),
    "heads that do not divide": (["model.num_heads=3", "model.d_model=16"], "num_heads 3"),
    "no key": (["=3"], "an override is key.path=value"),
    "no equals sign": (["training.seed"], "an override is key.path=value"),
    "tied without a shared vocabulary": (["tokenizer.shared=false"], "needs tokenizer.shared = true"),
    "batch too small for a sentence": (["training.tokens_per_batch=2"], "tokens_per_batch"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFIGS)
def test_malformed_configuration(what: str, refused, config_file: Path, tmp_path: Path) -> None:
    overrides, says = CONFIGS[what]
    refused("train", config_file, "--run", tmp_path / "run", *overrides, code=2, says=says)


LANGUAGE_CONFIGS = {
    "unknown task": (["task=langauge"], "did you mean \"language\"?"),
    "unknown key": (["data.blok=8"], "data.blok: unknown key; did you mean \"block\"?"),
    "unknown model": (["model.kind=recurent"], "did you mean \"recurrent\"?"),
    "block over the context": (["model.max_length=8"], "toml: data.block 16 is more than model.max_length 8"),
    "block over the budget": (["training.tokens_per_batch=8"], "tokens_per_batch: 8 is less than one block"),
    "block over the text": (
        ["data.block=9000", "training.tokens_per_batch=9000", "model.max_length=9000"], "make it shorter",
    ),
    "grouped heads": (["model.num_heads=4", "model.num_kv_heads=3", "model.d_model=16"], "num_kv_heads"),
    "separate without attention": (["model.kind=window", "data.separate=true"], "data.separate is for attention"),
    "order too high": (["model.kind=ngram", "model.order=8"], "model.order"),
    "no text": (["data.train=[]"], "data.train: no file is named"),
    "part": (["data.train=[{ source = 'x', part = [0.5, 0.5] }]"], "two rising fractions"),
    "column of running text": (["data.train=[{ source = 'x', documents = 'running', column = 1 }]"], "with a column"),
}  # fmt: skip


@pytest.mark.parametrize("what", LANGUAGE_CONFIGS)
def test_malformed_language_configuration(what: str, refused, language_file: Path, tmp_path: Path) -> None:
    overrides, says = LANGUAGE_CONFIGS[what]
    # keys of a GPT would be unknown ones to another kind of model
    keys = [] if any(one.startswith("model.kind") for one in overrides) else LANGUAGE_MODELS["gpt"]
    refused("train", language_file, "--run", tmp_path / "run", *keys, *overrides, code=2, says=says)


LABEL_CONFIGS = {
    "unknown form": (["data.form=singel"], 2, "did you mean \"single\"?"),
    "unknown part of the model": (["tuning.weights=haed"], 2, "did you mean \"head\"?"),
    "too few texts": (["data.form=pair"], 2, "names 1 texts; 2 are read"),
    "longer than the model reads": (["data.max_tokens=41"], 2, "data.max_tokens 41 is more than model.max_length 40"),
    "nothing pretrained": (["tuning.weights=head"], 2, "is for a pretrained run"),
    "labels that are no numbers": (["data.numbers=true", "training.metric=pearson"], 1, "record 1: the label"),
    "a label that training has not": (["data.labels=['yes']"], 1, 'no training record has the label "no"'),
    "no such column": (["data.validation.label=ratig"], 2, "did you mean \"right\"?"),
    "a number per record": (["data.train=[{ source = 'numbers.txt', texts = [0], label = 0 }]"], 1, "different labels"),
}  # fmt: skip


@pytest.mark.parametrize("what", LABEL_CONFIGS)
def test_malformed_labels(what: str, refused, labelled_files: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    overrides, code, says = LABEL_CONFIGS[what]
    monkeypatch.chdir(tmp_path)
    Path("numbers.txt").write_text("".join(f"{number}\n" for number in range(1200)), encoding="utf-8")
    refused("train", labelled_files["single"], "--run", tmp_path / "run", *overrides, code=code, says=says)


def test_configuration_errors_name_file_and_line(refused, tmp_path: Path, texts: Path, config_file: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(config_file.read_text(encoding="utf-8").replace("warmup = 2", "warmpu = 2"), encoding="utf-8")
    number = broken.read_text(encoding="utf-8").splitlines().index("warmpu = 2") + 1
    refused("train", broken, code=2, says=f"broken.toml:{number}: training.warmpu: unknown key")
    broken.write_text("a = = 1\n", encoding="utf-8")
    refused("train", broken, code=2, says="broken.toml:1: not valid TOML")


def test_unknown_recipe_run_verb_and_option(refused, runs: dict[str, Path], tmp_path: Path) -> None:
    refused("train", "transformer-ko-eng", code=2, says='did you mean "transformer-ko-en"?')
    refused("translate", tmp_path / "nothing", "--text", "a", code=2, says="no such run")
    refused("translate", tmp_path, "--text", "a", code=2, says="no run directory")
    refused("tranlate", "x", code=2, says="No such command")
    refused("translate", runs["seq2seq"], "--bean", "3", code=2, says="--bean")
    refused("translate", runs["seq2seq"], tmp_path / "nowhere.txt", code=1, says="no such file")
    refused("translate", runs["seq2seq"], "--text", "a", "--precision", "fp8", code=2, says="no such choice")
    if not torch.cuda.is_available():
        refused(
            "translate", runs["seq2seq"], "--text", "a", "--device", "cuda", code=2, says='no "cuda" on this machine'
        )
    refused("data", "get", "multi40k", code=2, says='did you mean "multi30k"?')


@pytest.fixture
def copy(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["transformer"], tmp_path / "copy"))


def test_damaged_weights(refused, copy: Path) -> None:
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused("translate", copy, "--text", "haus", code=1, says="model.safetensors: damaged")
    weights.write_bytes(content[: len(content) // 2])
    refused("translate", copy, "--text", "haus", code=1, says="model.safetensors: damaged")
    weights.unlink()
    refused("translate", copy, "--text", "haus", code=1, says="not trained to the end")


def test_wrong_or_damaged_tokenizer(refused, copy: Path, runs: dict[str, Path]) -> None:
    file = copy / "tokenizer" / "source.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"haus", b"maus"))
    refused("translate", copy, "--text", "haus", code=1, says="source.json: damaged")
    file.write_bytes(content[:100])
    refused("translate", copy, "--text", "haus", code=1, says="source.json: damaged")


def test_damaged_run_configuration(refused, copy: Path) -> None:
    (copy / "config.toml").write_text("nonsense = = 1", encoding="utf-8")
    refused("translate", copy, "--text", "haus", code=1, says="config.toml")


def test_changed_configuration_is_refused(refused, copy: Path, config_file: Path) -> None:
    before = (copy / "model.safetensors").read_bytes()
    words = [*MODELS["transformer"], "training.learning_rate=0.5"]
    told = refused("train", config_file, "--run", copy, *words, code=2, says="another configuration")
    assert "training.learning_rate: 0.001 → 0.5" in told
    assert "--fresh" in told
    assert (copy / "model.safetensors").read_bytes() == before


def test_folder_with_other_things(refused, config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    refused("train", config_file, "--run", tmp_path, code=2, says="other things in it")
    refused("train", config_file, "--run", tmp_path / "letter.txt", code=2, says="is a file")
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "dear"


def test_full_disk(refused, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends with one line and the checkpoint before it can still be gone on from."""
    import errno

    from sightline.train import storage

    run, write = tmp_path / "run", storage.write_file

    def full(path: Path, blocks):
        if "step-4" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_file", full)
        words = ("model.d_model=8", "model.num_heads=1", "model.num_layers=1")
        refused("train", config_file, "--run", run, *words, code=1, says="No space left")
    assert sorted(path.name for path in (run / "checkpoints").iterdir() if path.name.startswith("step-")) != []
    assert sightline("train", config_file, "--run", run, *words) == 0


def test_source_over_the_limit(refused, runs: dict[str, Path], texts: Path) -> None:
    refused("translate", runs["transformer"], "--text", "haus " * 400, code=2, says="over the run's limit")
    lines = texts / "long.de"
    lines.write_text("haus\n" + "hund " * 400 + "\n", encoding="utf-8")
    refused("translate", runs["transformer"], lines, code=2, says="long.de:2: source of")


def test_picture_of_an_unknown_kind(refused, runs: dict[str, Path], tmp_path: Path) -> None:
    refused(
        "translate",
        runs["transformer"],
        "--text",
        "haus",
        "--picture",
        tmp_path / "x.bmp",
        code=2,
        says=".svg, .png or .pdf",
    )


def test_a_start_that_failed_can_be_mended(refused, labelled_files: dict[str, Path], tmp_path: Path) -> None:
    """Nothing is trained yet, so that another configuration, or a kill half-way, is no reason to refuse."""
    words = ("train", labelled_files["single"], "--run", tmp_path / "run", "training.max_updates=2")
    refused(*words, "data.validation.label=ratig", code=2, says="no column")
    assert not (tmp_path / "run").exists()
    assert sightline(*words) == 0
    assert [file.name for file in (tmp_path / "run" / "tokenizer").iterdir()] == ["text.json"]
    refused(*words, "training.seed=3", code=2, says="training.seed: 1 → 3")
    # what a start that was killed before its configuration leaves
    for one in (tmp_path / "run").iterdir():
        if one.name != "tokenizer":
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    assert sightline(*words) == 0
