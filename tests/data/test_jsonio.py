"""JSON that anybody may have written: one line for whatever is wrong; and JSON that every reader takes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.data.questions import QuestionSource, read_questions
from sightline.data.records import read_records
from sightline.errors import CheckpointError, DataError
from sightline.jsonio import as_object, dumps, finite, parse_json, read_json

DEEP = "[" * 100_000
MANY_DIGITS = "1" * 5000


def records(path: Path) -> object:
    return list(read_records(path, ("text",)))


def questions(path: Path) -> object:
    return list(read_questions(QuestionSource(source=str(path))))


@pytest.mark.parametrize(
    "content", [DEEP, '{"question": ' + DEEP, '{"data": ' + DEEP, MANY_DIGITS, "{", '{"text": nan}']
)
@pytest.mark.parametrize("read", [records, questions, lambda path: read_json(path)])
@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_json_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: str, read: Callable[[Path], object], name: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "not JSON" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_files_are_bounded_and_regular(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}
    with pytest.raises(CheckpointError, match=r"x\.json: has 8 bytes; at most 7 are read"):
        read_json(tmp_path / "x.json", max_bytes=7, error=CheckpointError)
    with pytest.raises(DataError, match="is a directory"):
        read_json(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "absent.json")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="is not a regular file"):
            read_json(path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(DataError, match=r"latin\.json: not JSON"):
        read_json(tmp_path / "latin.json")


def test_objects() -> None:
    assert as_object({"a": None}, "x") == {"a": None}
    with pytest.raises(DataError, match="x: not a JSON object; mend it"):
        as_object([1], "x", hint="mend it")
    assert parse_json("[1, 2.5, null]", "x") == [1, 2.5, None]


def test_what_json_cannot_spell() -> None:
    value = {"loss": math.nan, 1: (math.inf, -0.5, True), "text": "한\n", "path": Path("a")}
    assert finite(value) == {"loss": None, "1": [None, -0.5, True], "text": "한\n", "path": "a"}
    assert dumps(value) == '{"loss": null, "1": [null, -0.5, true], "text": "한\\n", "path": "a"}'
    assert json.loads(dumps(value, indent=1)) == finite(value)
    with pytest.raises(TypeError, match="set has no JSON form"):
        finite({1})
