"""The look at users' data: each kind of fault is found where it is, and good text is left in peace."""

import json
import os

import pytest

from sightline.data.check import check_pairs
from sightline.data.pairs import PairSource
from support.commands import sightline


def pair_file(path, pairs):
    path.write_bytes("".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in pairs).encode())
    return PairSource(source=str(path))


def test_counts_lengths_and_duplicates(tmp_path):
    pairs = [("a bb", "x"), ("a bb", "x"), ("a bb", "y"), ("c", "zzz zzz zzz"), ("", "q")]
    report = check_pairs([pair_file(tmp_path / "x.jsonl", pairs)]).train
    assert report.records == 5
    assert report.duplicates == {"pairs": 1, "sources": 2, "targets": 1}
    # Source characters are 1, 4, 4, 4; target characters 1, 1, 1, 1, 11.
    assert report.sides["source"].characters == {50: 4, 90: 4, 99: 4, 100: 4}
    assert report.sides["source"].words == {50: 2, 90: 2, 99: 2, 100: 2}
    assert report.sides["target"].characters == {50: 1, 90: 11, 99: 11, 100: 11}
    assert report.sides["target"].words == {50: 1, 90: 3, 99: 3, 100: 3}
    assert report.findings["empty side"].count == 1
    assert report.findings["empty side"].examples == (f"{tmp_path / 'x.jsonl'}:5",)


@pytest.mark.parametrize(
    ("pair", "finding"),
    [
        (("same text", "same text"), "source is its own target"),
        (("a\x07b", "x"), "control characters"),
        (("ab", "x\rx"), "control characters"),
        (("a\u2028b", "x"), "control characters"),
        (("a\ufffdb", "x"), "U+FFFD, left by a failed decoding"),
        (("cafÃ© au lait", "x"), "looks like UTF-8 read in another encoding"),
        (("naïve".encode().decode("latin-1"), "x"), "looks like UTF-8 read in another encoding"),
        (("it’s".encode().decode("cp1252"), "x"), "looks like UTF-8 read in another encoding"),
        (("한국어".encode().decode("latin-1"), "x"), "looks like UTF-8 read in another encoding"),
        (("short", "much longer than it should be " * 9), "lengths out of proportion"),
    ],
)
def test_suspicious_pairs_are_found(tmp_path, pair, finding):
    ordinary = [(f"sentence number {i}", f"phrase numéro {i}") for i in range(20)]
    report = check_pairs([pair_file(tmp_path / "x.jsonl", [*ordinary, pair])])
    assert report.train.findings[finding].count == 1
    assert report.train.findings[finding].examples == (f"{tmp_path / 'x.jsonl'}:21",)
    assert any(finding in line and "x.jsonl:21" in line for line in report.lines())


def test_good_text_is_left_in_peace(tmp_path):
    pairs = [
        ("Ça coûte 5 £, « déjà » naïve", "Das Menü» kostet 5 € – „schön“…"),
        ("나는 밥을 먹었다.", "I ate my meal."),
        ("Ελλάδα και Россия", "Greece and Russia ©®±"),
        ("ÄÖÜ äöü ß Ÿ", "São Tomé, À Á Â Ã"),
    ]
    assert check_pairs([pair_file(tmp_path / "x.jsonl", pairs)]).train.findings == {}


def test_overlap_of_test_and_train(tmp_path):
    train = pair_file(tmp_path / "a.jsonl", [("a", "x"), ("b", "y"), ("c", "z")])
    test = pair_file(tmp_path / "b.jsonl", [("a", "x"), ("b", "other"), ("new", "z"), ("new", "new too")])
    report = check_pairs([train], [test])
    assert report.overlaps["test"].shared == {"pairs": 1, "sources": 2, "targets": 2}
    assert "overlap: of the test set, 1 pairs, 2 sources and 2 targets also occur in train" in report.lines()
    assert json.loads(json.dumps(report.as_dict()))["overlap"] == {"pairs": 1, "sources": 2, "targets": 2}


def test_only_empty_pairs_is_a_report_too(tmp_path):
    report = check_pairs([pair_file(tmp_path / "x.jsonl", [("", ""), (" ", "a")])])
    assert report.train.findings["empty side"].count == 2
    assert report.train.sides["source"].characters == {}
    assert report.lines()


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
def test_real_captions_look_right():
    report = check_pairs(
        [PairSource(source="multi30k:train.en", target="multi30k:train.de")],
        [PairSource(source="multi30k:test_2016_flickr.en", target="multi30k:test_2016_flickr.de")],
    )
    assert report.train.records == 29_000
    assert report.overlaps["test"].shared["sources"] == 0  # As the set's description says.
    assert "looks like UTF-8 read in another encoding" not in report.train.findings


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "x.tsv",
            "a b\tc\none column\n\nd\te\nanother\nf\tg\n",
            ("x.tsv:2: 1 tab-separated", "x.tsv:5: 1 tab-separated"),
        ),
        ("x.csv", 'a,b\n"c" d,e\nf,"g ""h"""\nalone\n', ("x.csv:2: not CSV", "x.csv:4: 1 comma-separated")),
        ("x.csv", 'a,b\nc,d\n"never closed,e\nf,g\n', ("x.csv:3: not CSV",)),
        (
            "x.jsonl",
            '{"source": "a", "target": "b"}\n{broken\n{"source": "c"}\n{"source": 3, "target": "d"}\n',
            ("x.jsonl:2: not JSON", 'x.jsonl:3: no key "target"', 'x.jsonl:4: the value of "source"'),
        ),
    ],
)
def test_every_line_that_is_no_record_is_told(tmp_path, capsys, name, text, says):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    report = check_pairs([PairSource(source=str(path))]).train
    assert report.unreadable == len(says)
    for line, expected in zip(report.unreadable_lines, says, strict=True):
        assert expected in line
    assert sightline("data", "check", path) == 1
    out, err = capsys.readouterr()
    assert f"cannot be read: {len(says)} lines" in out
    assert "next: mend these lines" in err
    assert sightline("data", "check", path, "--json") == 1
    assert json.loads(capsys.readouterr().out)["train"]["unreadable"] == len(says)


def test_of_many_unreadable_lines_the_first_twenty_are_told(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("a\tb\n" + "alone\n" * 50 + "c\td\n", encoding="utf-8")
    report = check_pairs([PairSource(source=str(path))]).train
    assert (report.records, report.unreadable, len(report.unreadable_lines)) == (2, 50, 20)
    assert report.lines("train")[-1] == "    and 30 more"
