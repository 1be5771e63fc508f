"""`sightline init`: data are split by content, sizes fit, and what it writes can be trained."""

from __future__ import annotations

import csv
import gzip
import os
import re
import tomllib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from sightline import config
from sightline.config import merged
from sightline.data import survey as surveys
from sightline.data.pairs import PairSource
from sightline.data.sources import read_lines
from sightline.errors import DataError
from sightline.tasks.registry import TASKS
from support.commands import sightline


def pairs(path: Path, count: int) -> str:
    path.write_text("".join(f"red dog {n}\tblue cat {n}\n" for n in range(count)), encoding="utf-8")
    return str(path)


def init(folder: Path, *words: object) -> dict[str, Any]:
    file = folder / "my.toml"
    file.unlink(missing_ok=True)
    assert sightline("init", file, *words) == 0
    return tomllib.loads(file.read_text(encoding="utf-8"))


def test_shares_are_split_by_content(tmp_path: Path, capsys) -> None:
    source = pairs(tmp_path / "x.tsv", 600)
    with Path(source).open("a", encoding="utf-8") as file:
        file.write("Red dog 7\tanother\n" * 3)
    written = init(tmp_path, "--source", source, "--validation", "0.1", "--test", "0.2")
    splits = [written["data"]["train"][0], written["data"]["validation"], written["data"]["test"]["test"]]
    assert [one["split"] for one in splits] == [[0.0, 0.7], [0.7, 0.8], [0.8, 1.0]]
    told = capsys.readouterr().err
    counts = [len(list(PairSource.model_validate(one).outlines(print))) for one in splits]
    assert counts == [603] * 3  # which knows of no split
    assert "603 pairs\n" in told
    assert "; 3 duplicates kept on one side\n" in told
    sides = [int(part.split()[0]) for part in told.split("split by content: ")[1].split(";")[0].split(", ")]
    assert sum(sides) == 603
    assert sides[1] == pytest.approx(60, abs=30)


def test_little_data_are_validated_on_more_of_them(tmp_path: Path, capsys) -> None:
    assert init(tmp_path, "--source", pairs(tmp_path / "x.tsv", 1000))["data"]["train"][0]["split"] == [0.0, 0.95]
    low, _ = init(tmp_path, "--source", pairs(tmp_path / "x.tsv", 60))["data"]["validation"]["split"]
    assert low < 0.9
    init(tmp_path, "--source", pairs(tmp_path / "x.tsv", 1))
    assert "name other data with --validation" in capsys.readouterr().err
    few = pairs(tmp_path / "x.tsv", 5)
    assert sightline("init", tmp_path / "no.toml", "--source", few, "--validation", "0.001") == 2
    assert "of 5 records none is left for validation" in capsys.readouterr().err
    assert not (tmp_path / "no.toml").exists()


@pytest.mark.parametrize(
    ("names", "languages"),
    [
        (("train.ko", "train.en"), ["Korean", "English"]),
        (("a.de.gz", "b.fr.gz"), ["German", "French"]),
        (("english,german",), ["English", "German"]),
        (("KO,en",), ["Korean", "English"]),
        (("source,german",), ["source", "target"]),
        (("a.txt", "b.txt"), ["source", "target"]),
    ],
)
def test_languages_are_those_that_files_or_columns_name(
    names: tuple[str, ...], languages: list[str], tmp_path: Path
) -> None:
    if len(names) == 2:
        lines = "".join(f"line {n}\n" for n in range(60)).encode()
        for name in names:
            (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
        words = ["--source", tmp_path / names[0], "--target", tmp_path / names[1]]
    else:
        rows = "".join(f"a red dog {n},ein roter Hund {n}\n" for n in range(60))
        (tmp_path / "x.csv").write_text(f"{names[0]}\n{rows}", encoding="utf-8")
        words = ["--source", tmp_path / "x.csv", "--columns", names[0]]
    data = init(tmp_path, *words)["data"]
    assert [data["source_language"], data["target_language"]] == languages


def test_files_of_their_own(tmp_path: Path) -> None:
    source, other = pairs(tmp_path / "x.tsv", 50), pairs(tmp_path / "y.tsv", 20)
    written = init(tmp_path, "--source", source, "--columns", "1,0", "--validation", other, "--test", 0.2)["data"]
    assert written["validation"] == {"source": other, "source_column": 1, "target_column": 0, "weight": 1.0}
    assert written["train"][0]["split"] == [0.0, 0.8]
    both = [pairs(tmp_path / name, 50) for name in ("a", "b", "c", "d")]
    words = ["--source", both[0], "--target", both[1], "--validation", ",".join(both[2:])]
    written = init(tmp_path, *words)["data"]
    assert (written["validation"]["source"], written["validation"]["target"]) == (both[2], both[3])
    assert "split" not in written["train"][0]
    whole = init(tmp_path, "--source", source, "--validate-on-train")["data"]
    assert whole["validation"]["source"] == whole["train"][0]["source"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--validation", "x.tsv"), "--validation: x.tsv is trained on"),
        (("--test", "./x.tsv"), "--test: ./x.tsv is trained on"),
        (("--validation", "1.5"), "1.5 is no share of the data"),
        (("--validation", "0.6", "--test", "0.4"), "leave nothing to learn from"),
        (("--validate-on-train", "--validation", "0.1"), "give either"),
        (("--size", "bse"), 'has no "bse"; did you mean "base"?'),
        (("--target", "y.tsv", "--validation", "z.tsv"), "must name two files joined by a comma"),
    ],
)
def test_what_init_refuses(words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.tsv", "y.tsv", "z.tsv"):
        pairs(tmp_path / name, 30)
    assert sightline("init", "my.toml", "--source", "x.tsv", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not Path("my.toml").exists()


def test_sizes_fit_the_data(tmp_path: Path, capsys) -> None:
    tiny = init(tmp_path, "--source", pairs(tmp_path / "x.tsv", 500))
    small = init(tmp_path, "--source", pairs(tmp_path / "x.tsv", 15_373))
    assert tiny["tokenizer"]["vocab_size"] < small["tokenizer"]["vocab_size"]
    assert tiny["training"]["max_updates"] < small["training"]["max_updates"] < 20_000
    assert small["training"]["warmup"] <= small["training"]["max_updates"] / 10
    assert small["training"]["validate_every"] == small["training"]["max_updates"] // 10
    text = (tmp_path / "my.toml").read_text(encoding="utf-8")
    assert "# Sizes: small, which is for 10,000 to 100,000 pairs; these are 15,373." in text
    told = capsys.readouterr().err
    assert "size small: transformer of 2.4 million parameters" in told
    asked = init(tmp_path, "--source", tmp_path / "x.tsv", "--size", "base")
    assert asked["model"]["d_model"] == 256
    recurrent = init(tmp_path, "--source", tmp_path / "x.tsv", "--model", "seq2seq")
    assert (recurrent["model"]["width"], recurrent["training"]["learning_rate"]) == (512, 2e-3)


def test_all_named_sizes_are_valid() -> None:
    for spec in TASKS.values():
        scales = spec.init.scales
        assert [one.least for one in scales] == sorted({one.least for one in scales})
        for scale in scales:
            for kind in set(spec.init.models) & scale.kinds.keys():
                below = merged(dict(scale.values), dict(scale.kinds[kind]))
                config.validate(spec.settings, merged(below, init_values(spec, kind)), "x")


def init_values(spec: Any, kind: str) -> dict[str, object]:
    entry = {**spec.init.files("x.tsv", None)}
    validation: object = [entry] if spec.init.validation_is_list else entry
    return {"task": spec.name, "data": {"train": [entry], "validation": validation}, "model": {"kind": kind}}


def test_large_files_are_looked_at_in_part(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(surveys, "SAMPLE", 200_000)
    lines = [f"this is sentence {n} of many\n" for n in range(40_000)]
    (tmp_path / "x.ko").write_text("".join(lines), encoding="utf-8")
    with gzip.open(tmp_path / "x.en.gz", "wt", encoding="utf-8") as file:
        file.writelines(lines)
    source = PairSource(source=str(tmp_path / "x.ko"), target=str(tmp_path / "x.en.gz"))
    found = surveys.survey(source, (0.0, 0.9, 1.0), ("source", "target"))
    assert not found.whole
    assert found.records == pytest.approx(40_000, rel=0.2)
    assert found.sides[1] == pytest.approx(4000, rel=0.3)
    assert found.unreadable == 0


def test_large_tables_of_every_form_are_looked_at_in_part(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(surveys, "SAMPLE", 100_000)
    texts = [f"line {n} of many\nand, another {n}" for n in range(9000)]
    with (tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(zip(texts, texts, strict=True))
    paths = [tmp_path / "x.csv", tmp_path / "x.parquet"]
    pyarrow.parquet.write_table(pyarrow.table({"source": texts, "target": texts}), paths[1])
    for path in paths:
        found = surveys.survey(PairSource(source=str(path)), (0.0, 0.9, 1.0), ("source", "target"))
        assert not found.whole
        assert found.records == pytest.approx(9000, rel=0.2)
        assert found.unreadable == 0
    paths[0].write_text(
        "".join(["Opening,Ending\n", *(f"it is {n},so be it.\n" for n in range(9000))]), encoding="utf-8"
    )
    with pytest.raises(DataError, match=re.escape(str(paths[0]))):  # and not by the name of its beginning
        surveys.survey(PairSource(source=str(paths[0])), (0.0, 0.9, 1.0), ("source", "target"))


def test_whether_the_first_line_is_a_record_can_be_said(tmp_path: Path, capsys) -> None:
    source = tmp_path / "x.tsv"
    source.write_text("".join(["Opening\tEnding\n", *(f"it is {n}\tso be it.\n" for n in range(90))]), encoding="utf-8")
    assert "header" not in init(tmp_path, "--source", source)["data"]["train"][0]
    assert "(--no-header)" in capsys.readouterr().err
    for word, header, count in (("--header", True, 90), ("--no-header", False, 91)):
        written = init(tmp_path, "--source", source, word)["data"]
        assert (written["train"][0]["header"], written["validation"]["header"]) == (header, header)
        assert f"{count} pairs\n" in capsys.readouterr().err
    (tmp_path / "my.toml").unlink()
    assert sightline("init", tmp_path / "my.toml", "--source", source, "--task", "tagging", "--header") == 2
    assert "--header: task tagging has no such setting" in capsys.readouterr().err


def test_one_text_is_cut_by_position(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a word " * 3000, encoding="utf-8")
    data = init(tmp_path, "--source", tmp_path / "one.txt", "--task", "language")["data"]
    assert (data["train"][0]["documents"], data["train"][0]["part"]) == ("running", [0.0, 0.95])
    assert data["validation"][0]["part"] == [0.95, 1.0]
    assert data["block"] < 256


def test_images_have_their_own_size(tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((70, 80, 3), number, np.uint8)).save(path)
    model = init(tmp_path, "--source", tmp_path / "pictures", "--task", "image_classification")["model"]
    assert (model["image_size"], model["patch_size"], model["channels"]) == (64, 8, 3)


def test_what_cannot_be_looked_at_is_configured_all_the_same(tmp_path: Path, capsys) -> None:
    written = init(tmp_path, "--source", tmp_path / "none.ko", "--target", tmp_path / "none.en")
    assert written["data"]["validation"]["split"] == [0.95, 1.0]
    assert "nothing is known of the data" in capsys.readouterr().err
    bad = tmp_path / "bad.tsv"
    bad.write_text("".join(f"a {n}\tb\n" if n % 3 else "alone\n" for n in range(90)), encoding="utf-8")
    init(tmp_path, "--source", bad)
    assert "60 pairs; 30 lines cannot be read, which --dry-run shows" in capsys.readouterr().err


# Files of real data, and the words that make a configuration of them.
REAL = {
    "English captions": (("multi30k/train.en.gz", "multi30k/train.de.gz"), ()),
    "Korean news": (("ko-en-news/korean-english-park.dev.ko", "ko-en-news/korean-english-park.dev.en"), ()),
    "short Korean sentences": (("ko-en-tatoeba/train.tsv",), ("--columns", "0,1")),
    "Korean reviews": (
        ("nsmc/ratings_test_first20k.txt.gz",), ("--task", "classification", "--columns", "document,label"),
    ),
}  # fmt: skip


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
@pytest.mark.parametrize("case", REAL)
def test_the_epochs_of_real_data_are_those_that_a_dry_run_counts(case: str, tmp_path: Path, capsys) -> None:
    """Within a quarter, before any vocabulary is learned: updates that are too few or too many cost hours."""
    names, words = REAL[case]
    root = Path(os.environ["SIGHTLINE_DATA"])
    columns = [islice(read_lines(root / name), 4000) for name in names]
    source = tmp_path / "x.tsv"
    source.write_text("".join("\t".join(line) + "\n" for line in zip(*columns, strict=True)), encoding="utf-8")
    written = init(tmp_path, "--source", source, *words)
    told = re.search(r"about (\d+) epochs", capsys.readouterr().err)
    assert sightline("train", tmp_path / "my.toml", "--dry-run", "training.threads=1") == 0
    counted = re.search(r"epochs of ([\d,]+);", capsys.readouterr().err)
    assert told is not None
    assert counted is not None
    epochs = written["training"]["max_updates"] / int(counted.group(1).replace(",", ""))
    assert int(told.group(1)) == pytest.approx(epochs, rel=0.25), f"{epochs} epochs"
