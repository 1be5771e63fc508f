"""Reading users' files: what counts as a line, and one clear line for whatever is wrong."""

import gzip
import json
import random
import tracemalloc
import unicodedata

import pytest
import zstandard

from sightline.data import grammar
from sightline.data.pairs import PairSource, read_mixed, read_pairs
from sightline.data.records import read_records
from sightline.data.sources import read_lines, resolve
from sightline.errors import DataError, UsageError


def lines_of(path, content):
    path.write_bytes(content)
    return list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\n", [""]),
        (b"\na\n\n", ["", "a", ""]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\x0bc\x0cd\x1ce\n", ["a\rb\x0bc\x0cd\x1ce"]),
        ("a\u2028b\u2029c\x85d\nz".encode(), ["a\u2028b\u2029c\x85d", "z"]),
        (b"a\r", ["a\r"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf\n", [""]),
        (unicodedata.normalize("NFD", "é한\n").encode(), ["é한"]),
    ],
)
def test_only_a_line_feed_ends_a_line(tmp_path, content, expected):
    assert lines_of(tmp_path / "x", content) == expected
    assert lines_of(tmp_path / "x.gz", gzip.compress(content)) == expected
    assert lines_of(tmp_path / "x.zst", zstandard.compress(content)) == expected


def test_compressed_members_and_frames_are_read_one_after_the_other(tmp_path):
    assert lines_of(tmp_path / "x.gz", gzip.compress(b"a\nb") + gzip.compress(b"c\n")) == ["a", "bc"]
    assert lines_of(tmp_path / "x.zst", zstandard.compress(b"a\nb") + zstandard.compress(b"c\n")) == ["a", "bc"]


def test_packed_content_is_known_by_its_bytes(tmp_path):
    assert lines_of(tmp_path / "x.txt", gzip.compress(b"a\n")) == ["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"ab\ncd\xe9f\n", ":2: not UTF-8: byte 0xe9 at byte 5"),
        (b"\xef\xbb\xbfab\xe9\n", ":1: not UTF-8: byte 0xe9 at byte 5"),
        (b"ab\r\nc\xed\xa0\x80\n", ":2: not UTF-8: byte 0xed at byte 5"),
        (b"ab\ncd\0\n", ":2: NUL character at byte 5"),
        ("\ufeffab\n".encode("utf-16-le"), "UTF-16"),
        ("ab\n".encode("utf-16-le"), "UTF-16"),
        (gzip.compress(random.Random(0).randbytes(4000).hex().encode(), mtime=0)[:-1500], "damaged or cut short"),
        (gzip.compress(b"abc\n", mtime=0)[:-4] + b"\1\1\1\1", "damaged or cut short"),
        (zstandard.compress(b"abc\n" * 9000)[:-3], "damaged or cut short"),
        (zstandard.compress(b"abc\n") + b"rest", "damaged or cut short"),
    ],
)
def test_bad_content_is_one_clear_line(tmp_path, content, said):
    path = tmp_path / "x"
    with pytest.raises(DataError) as error:
        lines_of(path, content)
    message = str(error.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message


def test_bad_paths_are_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_lines(tmp_path / "absent"))
    with pytest.raises(DataError, match="is a directory"):
        list(read_lines(tmp_path))
    (tmp_path / "x.gz").write_bytes(b"plain\n")
    with pytest.raises(DataError, match=r"not \.gz data"):
        list(read_lines(tmp_path / "x.gz"))


def test_a_sentence_that_fails_late_comes_after_the_good_ones(tmp_path):
    (tmp_path / "x").write_bytes(b"good\n\xff\n")
    lines = read_lines(tmp_path / "x")
    assert next(lines) == "good"
    with pytest.raises(DataError, match=":2:"):
        next(lines)


def test_memory_stays_flat_over_many_lines(tmp_path):
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(40):
            file.write(b"a sentence of some length, again\n" * 8000)  # 10 MB in all
    tracemalloc.start()
    count = sum(1 for _ in read_lines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 320_000
    assert peak < 6_000_000


def test_a_very_long_line_is_read_whole(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a" * 10_000_000 + b"\nb\n")
    assert [len(line) for line in read_lines(path)] == [10_000_000, 1]


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def test_line_aligned_files(tmp_path):
    a, b = write(tmp_path / "a", "x\ny\n"), write(tmp_path / "b", "1\n2")
    assert list(read_pairs(PairSource(source=a, target=b))) == [("x", "1"), ("y", "2")]


@pytest.mark.parametrize(("left", "right"), [(3, 5), (5, 3)])
def test_unequal_files_name_both_counts(tmp_path, left, right):
    a, b = write(tmp_path / "a", "x\n" * left), write(tmp_path / "b", "y\n" * right)
    with pytest.raises(DataError, match=rf"a: has {left} lines but .*b has {right}"):
        list(read_pairs(PairSource(source=a, target=b)))


def test_columns_by_number_and_by_name(tmp_path):
    path = write(tmp_path / "x.tsv", "id\tko\ten\n1\t가\ta\n\n2\t나\tb\n")
    named = PairSource(source=path, source_column="en", target_column="ko")
    assert list(read_pairs(named)) == [("a", "가"), ("", ""), ("b", "나")]
    numbered = PairSource(source=path, source_column=2, target_column=0)
    assert list(read_pairs(numbered)) == [("a", "1"), ("", ""), ("b", "2")]
    assert next(read_pairs(PairSource(source=path))) == ("1", "가")


def test_column_errors(tmp_path):
    path = write(tmp_path / "x.tsv", "source\ttarget\na\tb\nc\n")
    with pytest.raises(UsageError, match='no column is named "sorce"; did you mean "source"'):
        list(read_pairs(PairSource(source=path, source_column="sorce", target_column="target")))
    with pytest.raises(DataError, match=r"x.tsv:3: 1 tab-separated columns, column 1 wanted"):
        list(read_pairs(PairSource(source=path)))
    with pytest.raises(UsageError, match="negative"):
        list(read_pairs(PairSource(source=path, source_column=-1, target_column=0)))


def test_json_lines(tmp_path):
    records = [{"source": "a", "target": "b\nc"}, {"source": "e\u0301", "target": "\u2028"}]
    path = write(tmp_path / "x.jsonl", "".join(json.dumps(r) + "\n" for r in records) + "\n")
    assert list(read_pairs(PairSource(source=path))) == [("a", "b\nc"), ("é", "\u2028"), ("", "")]
    nested = tmp_path / "y.jsonl.gz"
    nested.write_bytes(gzip.compress(b'{"translation": {"de": "x", "en": "y"}, "a.b": "z"}\n'))
    spec = PairSource(source=str(nested), source_column="translation.en", target_column="a.b")
    assert list(read_pairs(spec)) == [("y", "z")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"source": "a"', "not JSON"),
        ('["a", "b"]', "not an object"),
        ('{"source": "a", "targt": "b"}', 'no key "target"; did you mean "targt"'),
        ('{"source": "a", "target": 3}', "not a string"),
        ('{"source": "a", "target": "\\ud83d"}', "surrogate"),
        ('{"source": "a", "target": "\\u0000"}', "NUL"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_json_errors_name_the_line(tmp_path, line, said):
    path = write(tmp_path / "x.jsonl", '{"source": "a", "target": "b"}\n' + line + "\n")
    with pytest.raises(DataError) as error:
        list(read_pairs(PairSource(source=path)))
    assert str(error.value).startswith(f"{path}:2: ")
    assert said in str(error.value)


def test_specs_that_do_not_go_together():
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight"):
            PairSource(source="a", target="b", weight=weight)
    with pytest.raises(UsageError, match=r"^a: columns are for one file"):
        PairSource.from_arguments(source="a", target="b", source_column=0)
    with pytest.raises(UsageError, match=r"^embedded:ko-en/train: the embedded corpus holds both sides"):
        PairSource.from_arguments(source="embedded:ko-en/train", target="b")
    with pytest.raises(UsageError, match=r"^a: .*[Ee]xtra"):
        PairSource.from_arguments(source="a", part=1)
    with pytest.raises(UsageError, match='no split "trian"; did you mean "train"'):
        list(read_pairs(PairSource(source="embedded:ko-en/trian")))
    with pytest.raises(UsageError, match='no column "kr"'):
        list(read_pairs(PairSource(source="embedded:ko-en/train", source_column="kr")))


def test_embedded_corpus_reads_either_way():
    first = grammar.split("validation")[0]
    assert next(read_pairs(PairSource(source="embedded:ko-en/validation"))) == (first.korean, first.english)
    turned = PairSource(source="embedded:ko-en/validation", source_column="en", target_column="ko")
    assert next(read_pairs(turned)) == (first.english, first.korean)


def test_catalogue_names_resolve_and_files_win(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match='no data set "mutli30k"; did you mean "multi30k"'):
        resolve("mutli30k:train.en")
    assert str(resolve("C:file")) == "C:file"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "multi30k:train.en").write_text("mine\n")
    assert list(read_lines("multi30k:train.en")) == ["mine"]


def test_sources_follow_each_other(tmp_path):
    a, b = write(tmp_path / "a.tsv", "1\t2\n"), write(tmp_path / "b.tsv", "3\t4\n")
    assert list(read_mixed([PairSource(source=a), PairSource(source=b, weight=3)])) == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_list(tmp_path, indent):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"a": "x", "b": 1}, {"a": "y\nz", "b": "2"}], indent=indent), encoding="utf-8")
    assert list(read_records(path, ("a", "b"), label="b")) == [(1, ("x", "1")), (2, ("y\nz", "2"))]
    with pytest.raises(DataError, match=r"list\.json:1: the value of .b. is not a string"):
        list(read_records(path, ("a", "b")))
    path.write_text('[{"a": "x"},\n{"a": ]', encoding="utf-8")
    with pytest.raises(DataError, match="begins like one list"):
        list(read_records(path, ("a",)))
