"""`sightline compare`: of trained runs and of plans, by command line and from Python, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sightline as package
from sightline.comparison import page, words
from sightline.comparison import plan as plan_module
from sightline.comparison.candidates import differences, read_candidates
from sightline.comparison.comparison import compare
from sightline.comparison.plan import read_plan
from sightline.errors import UsageError
from support.commands import sightline
from support.configs import MODELS

QUICK = ("--no-speed", "--resamples", "100")


@pytest.fixture(scope="module")
def pair(trained) -> list[Path]:
    return list(trained(["seq2seq", "transformer"]).values())


def test_reports_without_the_text_of_records(pair, tmp_path: Path, capsys) -> None:
    """For data that may not be handed on: no record, reference or answer stands in any of them."""
    files = [tmp_path / f"x{suffix}" for suffix in (".html", ".md", ".json")]
    words = [word for file in files for word in ("--output", file)]
    assert sightline("compare", *pair, *QUICK, *words, "--examples", "0") == 0
    assert sightline("compare", *pair, *QUICK, "--json") == 0
    shown = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["sets"][0]["examples"]
    assert len(shown) == 10
    told = [text for one in shown for text in (one["input"], one["reference"], *one["outputs"]) if len(text) > 8]
    for file in files:
        assert not any(text in file.read_text(encoding="utf-8") for text in told)


def test_two_models_on_the_terminal_and_in_files(pair, tmp_path: Path, capsys) -> None:
    files = [tmp_path / f"c{suffix}" for suffix in (".html", ".md", ".json")]
    outputs = [word for file in files for word in ("--output", file)]
    assert sightline("compare", *pair, "--resamples", 100, "--threads", 1, *outputs) == 0
    out, told = capsys.readouterr()
    assert "next: sightline serve" in told
    for word in ("BLEU", "chrF2", "TER", "baseline", "core-min", "peak MiB", "seq2seq", "transformer", "p ="):
        assert word in out
    html, markdown, plain = (file.read_text(encoding="utf-8") for file in files)
    found = json.loads(plain)
    assert [row["name"] for row in found["rows"]] == ["seq2seq", "transformer"]
    assert all(row["speed"]["per_second"] > 0 and row["speed"]["peak_bytes"] > 1e7 for row in found["rows"])
    assert found["sets"][0]["scores"][0]["signature"] in markdown.replace("\\", "")
    assert "<svg" in html
    for outside in ("<script", "<link", "src=", "@import"):
        assert outside not in html
    HTMLParser().feed(html)


def test_seeds_of_one_model_are_one_model(trained, texts: Path, tmp_path: Path) -> None:
    """Told by their configurations alone, which differ in nothing but the seed."""
    gru = trained(["seq2seq"])["seq2seq"]
    other = tmp_path / "seeds" / "two"
    keys = [*MODELS["seq2seq"], "training.seed=2"]
    assert sightline("train", texts / "tiny.toml", "--run", other, *keys) == 0
    transformer = trained(["transformer"])["transformer"]
    found = compare([transformer, gru, other], names=["t", "s", "s"], speed=False, resamples=100)
    assert found.names == ("t", "s")
    assert found.rows[1].seeds == 2
    model = found.sets[0].scores[0].models[1]
    assert len(model.by_seed) == 2
    assert model.seeds is not None
    with pytest.raises(UsageError, match="two models or more"):
        compare([gru, other], speed=False)


def test_other_tasks(trained) -> None:
    runs = trained(["gpt", "recurrent", "ngram"])
    found = compare(list(runs.values()), speed=False, resamples=100, anyway=True)
    assert found.sets[0].scores[0].metric.name == "bits_per_byte"
    assert words.markdown(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("max_updates = 6", "budgets differ"),
        ("train.de", "training data differ"),
        ("test.en", "test sets differ"),
        ("beam = ", "settings of the search differ"),
    ],
)
def test_what_is_unlike_is_refused_by_name(change: str, says: str, pair, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(pair[1], copy)
    shutil.rmtree(copy / "checkpoints")  # as a run is handed on; how it ended is told by its outcome
    if change.startswith("max"):
        outcome = json.loads((copy / "outcome.json").read_text())
        (copy / "outcome.json").write_text(json.dumps({**outcome, "update": 60, "seconds": 1e6}))
        (copy / "metrics.jsonl").unlink()
    else:
        config = (copy / "config.toml").read_text()
        names = {"train.de": "val.de", "test.en": "val.en"}
        new = config.replace(change, names[change]) if change in names else re.sub(r"beam = \d+", "beam = 9", config)
        assert new != config
        (copy / "config.toml").write_text(new)
    with pytest.raises(UsageError, match=f"{says}.*anyway=True"):
        compare([pair[0], copy], speed=False)
    # of runs of one plan the budget is the plan's
    alike = differences(read_candidates([pair[0], copy]), budgets=False)
    assert bool(alike) == (says != "budgets differ")
    assert sightline("compare", pair[0], copy, "--no-speed") == 2
    assert capsys.readouterr().err.rstrip().endswith("--anyway")


def test_other_tasks_are_refused_whatever_is_asked(pair, trained) -> None:
    with pytest.raises(UsageError, match="no score is of both"):
        compare([pair[0], trained(["gpt"])["gpt"]], anyway=True, speed=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUN"], "needs two models"),
        (["RUN", "RUN"], "named twice"),
        (["RUN", "nowhere"], "no such run"),
        (["RUN", "OTHER", "--output", "x.pdf"], "a report is .html, .md, .json"),
        (["RUN", "OTHER", "--seeds", "2"], "--seeds: is of a plan"),
        (["RUN", "OTHER", "--name", "a"], "1 names for 2 runs"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words: list[str], says: str, pair, capsys) -> None:
    names = {"RUN": pair[0], "OTHER": pair[1]}
    assert sightline("compare", *(names.get(word, word) for word in words), *QUICK) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert says in told[-1]
    assert told[-1].startswith("sightline: ")


def plan_of(texts: Path, tmp_path: Path, more: str = "") -> Path:
    file = tmp_path / "plan.toml"
    file.write_text(
        f'base = "{texts}/tiny.toml"\nfolder = "{tmp_path}/runs"\nseeds = 1\nbudget.updates = 2\n{more}\n'
        '[models.gru]\nmodel = { kind = "seq2seq", width = 16, embedding_width = 16 }\n'
        "[models.transformer]\nmodel = { d_model = 16, num_layers = 1, num_heads = 2, d_ff = 32 }\n"
    )
    return file


def test_a_plan_trains_what_is_missing_once(texts: Path, tmp_path: Path, capsys) -> None:
    file = plan_of(texts, tmp_path)
    assert sightline("compare", file, *QUICK, "--jobs", 2, "--json") == 0
    out, told = capsys.readouterr()
    assert [row["updates"] for row in json.loads(out)["rows"]] == [2, 2]
    assert "gru | " in told
    assert "transformer | " in told
    weights = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("model.safetensors")}
    assert len(weights) == 2
    assert sightline("compare", file, *QUICK, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == json.loads(out)["rows"]
    assert all(path.read_bytes() == before for path, before in weights.items())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("budget.tokens = 5", "updates and tokens are one too many"),
        ("bas = 1", 'did you mean "base"'),
        ('[models."../x"]', "cannot be the name of a folder"),
        ("[models.bad]\nmodel.d_modle = 3", "models.bad.*d_model"),
        ('[models.bad]\nrecipe = "gru-ko"', "gru-ko-en"),
    ],
)
def test_a_wrong_plan_is_one_line_and_trains_nothing(more: str, says: str, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        read_plan(str(plan_of(texts, tmp_path, more)))
    assert not (tmp_path / "runs").exists()


def test_the_plan_of_the_benchmark_is_valid() -> None:
    plan = read_plan(str(Path(__file__).parents[2] / "benchmarks" / "multi30k.toml"))
    assert len(plan.trainings) == 6
    assert {one.values["training"]["max_updates"] for one in plan.trainings} == {1200}


def test_a_budget_takes_the_place_of_all_limits(texts: Path, tmp_path: Path) -> None:
    file = plan_of(texts, tmp_path)
    text = file.read_text().replace("budget.updates = 2", "budget.core_minutes = 3")
    file.write_text(text.replace("seeds = 1", "seeds = [4, 5]"))
    plan = read_plan(str(file))
    assert [(one.name, one.seed) for one in plan.trainings] == [
        ("gru", 4), ("gru", 5), ("transformer", 4), ("transformer", 5)]  # fmt: skip
    training = plan.trainings[0].values["training"]
    assert training["max_minutes"] == 3
    assert training["threads"] == 1
    assert "max_updates" not in training
    assert plan.trainings[0].run.name == "seed-4"
    file.write_text(text.replace("budget.core_minutes = 3", "budget.tokens = 2560"))
    assert read_plan(str(file), seeds=1).trainings[0].values["training"]["max_updates"] == 10


def test_minutes_of_a_schedule_that_ends_become_updates(texts: Path, tmp_path: Path, monkeypatch) -> None:
    """As many as are made in so long, once for all seeds of a model; what only makes sense of more is cut to them, and
    what is trained so is found again, however fast the machine is then."""
    file = plan_of(texts, tmp_path)
    text = file.read_text().replace("budget.updates = 2", "budget.core_minutes = 0.1").replace("seeds = 1", "seeds = 2")
    cosine = 'training.schedule = "cosine"\n'
    text = text.replace("[models.gru]\n", "[models.gru]\n" + cosine)
    text = text.replace("[models.transformer]\n", "[models.transformer]\ntraining.warmup = 3\n" + cosine)
    file.write_text(text)
    seconds = {"seq2seq": 0.5, "transformer": 0.75}
    monkeypatch.setattr(plan_module, "seconds_per_update", lambda settings, report: seconds[settings.model.kind])
    monkeypatch.setattr(plan_module, "train_in_processes", lambda trainings, **more: None)
    plan, told = read_plan(str(file)), []

    def chosen(key: str) -> dict[str, int]:
        plan_module.train_plan(plan, report=told.append)
        files = sorted((tmp_path / "runs" / "plans").iterdir())
        return {one.stem: tomllib.loads(one.read_text())["training"][key] for one in files}

    assert plan.budgeted
    assert chosen("max_updates") == {"gru-1": 12, "gru-2": 12, "transformer-1": 8, "transformer-2": 8}
    minutes = "in 0.1 minutes of a core"
    assert told == [f"gru | 0.50 s an update: 12 {minutes}", f"transformer | 0.75 s an update: 8 {minutes}"]
    assert chosen("warmup") == {"gru-1": 1, "gru-2": 1, "transformer-1": 3, "transformer-2": 3}
    assert chosen("validate_every") == {"gru-1": 3, "gru-2": 3, "transformer-1": 2, "transformer-2": 2}
    begun = tmp_path / "runs" / "gru" / "seed-2"
    begun.mkdir(parents=True)
    shutil.copy(tmp_path / "runs" / "plans" / "gru-2.toml", begun / "config.toml")
    seconds.update(seq2seq=0.1, transformer=0.1)
    assert chosen("max_updates") == {"gru-1": 12, "gru-2": 12, "transformer-1": 60, "transformer-2": 60}


def test_hostile_texts_stay_texts(pair, monkeypatch) -> None:
    found = compare(pair, names=["<script>alert(1)</script>", "b|c"], speed=False, resamples=100)
    html = page.page(found)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "b\\|c" in words.markdown(found)


def test_the_package_has_it() -> None:
    assert package.compare is compare
