"""What `import sightline` offers: names without PyTorch, trainings, evaluations and looks as the command line's."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sightline
from sightline.errors import SightlineError, UsageError
from sightline.tasks.classification.predictor import Prediction
from sightline.train.loop import Outcome
from support.commands import sightline as command

QUICK = {"max_updates": 4, "tokens_per_batch": 256, "threads": 1, "log_every": 2, "validate_every": 2}
SMALL = {"kind": "seq2seq", "width": 16, "embedding_width": 16}


def test_names_are_found_when_they_are_asked_for() -> None:
    code = (
        "import sys, sightline\n"
        "assert dir(sightline) == sorted(sightline.__all__), dir(sightline)\n"
        "assert callable(sightline.train)\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & sys.modules.keys()\n"
        "for name in sightline.__all__: getattr(sightline, name)\n"
        "import sightline.train.loop as loop\n"
        "assert sightline.train.loop is loop and callable(sightline.train)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = sightline.trane  # type: ignore[attr-defined]


def test_everything_public_is_documented_and_typed() -> None:
    for name in set(sightline.__all__) - {"__version__"}:
        one = getattr(sightline, name)
        assert inspect.getdoc(one), name
        if not inspect.isclass(one):
            parameters = inspect.signature(one).parameters.values()
            assert [each.name for each in parameters if each.annotation is inspect.Parameter.empty] == [], name


class Hearing(sightline.Callback):
    def __init__(self) -> None:
        self.ended: list[Outcome] = []

    def on_end(self, outcome: Outcome, /) -> None:
        self.ended.append(outcome)


def test_a_training_by_keywords_is_that_of_the_command_line(config_file: Path, tmp_path: Path, capsys) -> None:
    tables = {"training": QUICK, "model": SMALL}
    flat = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
    words = [f"{key}={value}" for key, value in flat.items()]
    assert command("train", config_file, *words, "--run", tmp_path / "shell") == 0
    told = capsys.readouterr()
    heard = Hearing()
    trained = sightline.train(config_file, run=tmp_path / "python", callbacks=[heard], **tables)
    assert trained.outcome.update == 4
    assert heard.ended == [trained.outcome]
    assert [line for one in trained.reports for line in one.lines()][1:] == told.out.splitlines()[1:]
    for name in ("model.safetensors", "config.toml"):
        assert (trained.path / name).read_bytes() == (tmp_path / "shell" / name).read_bytes()
    assert trained.summary() in told.err
    assert repr(trained) == f"Trained({str(tmp_path / 'python')!r}: {trained.summary()})"
    assert type(trained.load()) is sightline.Translator
    # the same settings said in every other way
    ways: list[dict[str, Any]] = [tables, {"overrides": flat}, {"overrides": words}]
    for same in ways:
        capsys.readouterr()
        again = sightline.train(config_file, run=trained.path, quiet=True, callbacks=[heard], **same)
        assert again.outcome == trained.outcome
        assert capsys.readouterr() == ("", "")
    assert len(heard.ended) == 1


def test_settings_without_a_file(config_file: Path, tmp_path: Path) -> None:
    from sightline import config
    from sightline.runs.trained import read_settings

    values = config.parse(str(config_file), config_file.read_text(encoding="utf-8"))
    assert read_settings(values) == read_settings(config_file) == read_settings(None, (), values)
    with pytest.raises(UsageError, match="run: name the run directory"):
        sightline.train(values)
    with pytest.raises(UsageError, match=r'settings: training.max_updats: unknown key; did you mean "max_updates"'):
        sightline.train(values, run=tmp_path / "run", training={"max_updats": 3})
    with pytest.raises(UsageError, match=r"callbacks: each is a sightline.Callback, not the class Hearing; make one"):
        sightline.train(values, run=tmp_path / "run", callbacks=[Hearing])  # type: ignore[list-item]
    assert not (tmp_path / "run").exists()


def test_a_callback_that_fails_at_the_end_leaves_a_whole_run(language_file: Path, tmp_path: Path) -> None:
    class Broken(sightline.Callback):
        def on_end(self, outcome: Outcome, /) -> None:
            raise KeyError("x")

    settings: dict[str, Any] = {"model": {"kind": "ngram", "order": 2}, "quiet": True}
    with pytest.raises(SightlineError, match=r"Broken.on_end raised KeyError: 'x'; everything is in the run"):
        sightline.train(language_file, run=tmp_path / "run", callbacks=[Broken()], **settings)
    assert (tmp_path / "run" / "README.md").exists()
    assert sightline.train(language_file, run=tmp_path / "run", callbacks=[Broken()], **settings).reports


def test_evaluations_are_those_of_the_command_line(runs: dict[str, Path], texts: Path, capsys) -> None:
    run = runs["seq2seq"]
    assert command("evaluate", run, texts / "test.de", texts / "test.en", "--beam", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    for one in (run, sightline.load(run)):
        (found,) = sightline.evaluate(one, texts / "test.de", texts / "test.en", beam=1)
        assert told[0]["details"] == [each.as_dict() for each in found.details]
        times = {"seconds": 0, "sentences_per_second": 0}
        figures = {name: value for name, value in told[0].items() if name != "details"}
        assert json.loads(json.dumps({**found.as_dict(), **times})) == {**figures, **times}
        assert "BLEU" in repr(found)
        assert len(repr(found)) < 300
    with pytest.raises(UsageError, match=r"^unknown_labels: is for runs of classification"):
        sightline.evaluate(run, unknown_labels=True)


def test_a_look_is_that_of_the_command_line(runs: dict[str, Path], tmp_path: Path, capsys) -> None:
    run, text = runs["transformer"], "ein haus rot"
    assert command("look", run, text, "--check", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    looked = sightline.look(run, text, check=True)
    assert json.loads(json.dumps(looked.data()).replace("NaN", "null")) == told
    assert "Rank correlation" in str(looked)
    assert len(repr(looked)) < 500
    heads = sightline.look(sightline.load(run), text, what="heads", by="entropy")
    assert looked._repr_html_().count('<div class="sightline"') == 2  # the view, and the check
    assert "data:image/svg+xml" in heads._repr_html_()
    for name in ("x.svg", "x.pdf", "x.png", "x.html"):
        heads.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    for options, says in (
        ({"what": "atention"}, '^what: there is no "atention"; did you mean "attention"'),
        ({"by": "entropy"}, "^by: is for heads"),
        ({"what": "heads", "gold": "0-0"}, "^gold: links are of a text and a translation"),
        ({"what": "positions", "site": "x"}, "^site: positions is of the whole model"),
    ):
        with pytest.raises(UsageError, match=says):
            sightline.look(run, text, **options)
    with pytest.raises(UsageError, match=r"a picture is \.svg, \.png or \.pdf, a page \.html"):
        heads.save(tmp_path / "x.bmp")


def test_models_go_out_and_come_back(language_runs: dict[str, Path], tmp_path: Path) -> None:
    written = sightline.export(sightline.load(language_runs["gpt"]), tmp_path / "gpt2")
    assert written.format == "gpt2"
    made = sightline.import_(written.path, tmp_path / "again")
    assert repr(made.load()) == f"LanguageModel({str(tmp_path / 'again')!r})"
    with pytest.raises(UsageError, match=r'^to: no format "marian"'):
        sightline.export(language_runs["gpt"], tmp_path / "x", "marian")


def test_reprs_are_short(runs: dict[str, Path], language_runs: dict[str, Path]) -> None:
    model: Any = sightline.load(runs["seq2seq"])
    found = model.translate("ein haus rot", attention=True, n_best=2)
    assert repr(found).startswith("Translation(source='ein haus rot', text='")
    with sightline.capture(model) as record:
        model.translate("ein haus")
    shown: list[Any] = [
        found,
        found.attention,
        found.attention.source,
        record,
        model.reading("ein haus"),
        *(sightline.look(model, "ein haus", what=what).view for what in ("attention", "masks", "gates", "states")),
        sightline.load(language_runs["gpt"]).generate("a red"),  # type: ignore[attr-defined]
        Prediction(("text " * 50,), "class 1", {f"class {number}": 0.02 for number in range(50)}),
    ]
    for one in shown:
        assert len(repr(one)) < 300
        assert "array(" not in repr(one)
        assert "tensor(" not in repr(one)


def test_runs_are_listed_and_shown(runs: dict[str, Path]) -> None:
    path = runs["transformer"]
    found = {one.path: one for one in sightline.runs(path.parent)}
    shown = sightline.show(path)
    assert repr(found[path]) == repr(shown)
    assert repr(shown).startswith(f"RunSummary({str(path)!r}: translation transformer, trained, ")
    assert shown._repr_html_().count("<polyline") >= 2
    with pytest.raises(SightlineError):
        sightline.show(path.parent / "nowhere")


def test_errors_are_one_line_in_a_notebook() -> None:
    error: Any = UsageError("run: is missing; name one")
    assert error._render_traceback_() == ["UsageError: run: is missing; name one"]
