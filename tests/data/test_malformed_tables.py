"""Sixty tables as people have them: each is read rightly, or refused in a line that names file, row and column."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from sightline.data.pairs import PairSource, read_pairs
from sightline.data.questions import QuestionSource, read_questions
from sightline.data.records import read_records
from sightline.data.tagged import TaggedSource, read_tagged
from sightline.errors import SightlineError
from support.commands import sightline

ROWS = [("a film, seen", "pos"), ("b", "neg")]
GERMAN = "".join(f"Das ist Satz {i}.;{'gut' if i % 2 else 'schlecht'}\n" for i in range(10))
RULE = "a quote inside a quoted cell is doubled, and every one is closed"
CHOICE = (
    "say header = true (--header) if this line names the columns, or header = false (--no-header) if it is a record"
)


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("x.csv", "text,label\na,pos\n")
    return held.getvalue()


def parquet(**columns: list[object]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    writing = pytest.importorskip("pyarrow.parquet")
    held = io.BytesIO()
    writing.write_table(arrow.table(columns), held)
    return held.getvalue()


# Name, content, what is read of columns 0 and 1.
READ: dict[str, tuple[str, str | bytes | Callable[[], bytes], list[tuple[str, str]]]] = {
    "comma": ("x.csv", 'text,label\n"a film, seen",pos\nb,neg\n', ROWS),
    "semicolon": ("x.csv", "text;label\na film, seen;pos\nb;neg\n", ROWS),
    "tab in CSV": ("x.csv", "text\tlabel\na film, seen\tpos\nb\tneg\n", ROWS),
    "bar": ("x.csv", "text|label\na film, seen|pos\nb|neg\n", ROWS),
    "decimal commas": ("x.csv", "1,5;2,5\n3,25;4,5\n", [("1,5", "2,5"), ("3,25", "4,5")]),
    "declared separator": ("x.csv", "sep=;\ntext;label\na film, seen;pos\nb;neg\n", ROWS),
    "byte order mark, CRLF": ("x.csv", '\ufefftext,label\r\n"a film, seen",pos\r\nb,neg\r\n', ROWS),
    "mixed line ends": ("x.csv", 'text,label\r\n"a film, seen",pos\nb,neg\r\n', ROWS),
    "no last line end": ("x.csv", 'text,label\n"a film, seen",pos\nb,neg', ROWS),
    "quoted header": ("x.csv", '"text","label"\n"a film, seen","pos"\n"b","neg"\n', ROWS),
    "doubled quotes, breaks": (
        "x.csv",
        'text,label\n"he ""said""\r\n\r\nno, so",pos\n',
        [('he "said"\n\nno, so', "pos")],
    ),
    "quotes inside": ("x.csv", 'text,label\n5" disk,pos\na "b" c,neg\n', [('5" disk', "pos"), ('a "b" c', "neg")]),
    "spaces around names": ("x.csv", ' text , label\n"a film, seen",pos\nb,neg\n', ROWS),
    "padded rows": ("x.csv", 'text,label\n"a film, seen",pos,,\nb,neg,\n', ROWS),
    "trimmed rows": ("x.csv", 'text,label,note\n"a film, seen",pos\nb,neg,x\n', ROWS),
    "decomposed letters": ("x.csv", "text,label\ncafe\u0301,pos\nb,neg\n", [("café", "pos"), ("b", "neg")]),
    "TSV is as it is": ("x.tsv", 'text\tlabel\n"a" b\tpos\n"\tneg\n', [('"a" b', "pos"), ('"', "neg")]),
    "gzip": ("x.csv.gz", gzip.compress(b'text,label\n"a film, seen",pos\nb,neg\n'), ROWS),
    "zstd": ("x.tsv.zst", zstandard.compress(b"text\tlabel\na film, seen\tpos\nb\tneg\n"), ROWS),
    "packed under a plain name": ("x.csv", gzip.compress(b'text,label\n"a film, seen",pos\nb,neg\n'), ROWS),
    "arrays": ("x.jsonl", '["a film, seen", "pos"]\n["b", "neg"]\n', ROWS),
    "Parquet": ("x.parquet", lambda: parquet(text=["a film, seen", "b"], label=["pos", "neg"]), ROWS),
    "Parquet, numbers": ("x.pq", lambda: parquet(text=["a", "b"], label=[1, 0]), [("a", "1"), ("b", "0")]),
    "Parquet in gzip": ("x.parquet.gz", lambda: gzip.compress(parquet(text=["a"], label=["pos"])), [("a", "pos")]),
}

# Name, content, columns, what is said.
REFUSED: dict[str, tuple[str, str | bytes | Callable[[], bytes], tuple[int | str, ...], str]] = {
    "unquoted separator": (
        "x.csv",
        "text,label\na film, seen,pos\n",
        (0, 1),
        "x.csv:2: 3 comma-separated columns, where line 1 has 2: column 2 (counted from 0) is one too many; put a cell "
        "that holds one in quotes",
    ),
    "a tab in the text": (
        "x.tsv",
        "text\tlabel\na\tfilm\tpos\n",
        (0, 1),
        "x.tsv:2: 3 tab-separated columns, where line 1 has 2: column 2 (counted from 0) is one too many; take the tab "
        "out of the text",
    ),
    "quoted tab in TSV": (
        "x.tsv",
        'text\tlabel\n"a\tfilm"\tpos\n',
        (0, 1),
        "x.tsv:2: 3 tab-separated columns, where line 1 has 2: column 2 (counted from 0) is one too many; take the tab "
        "out of the text, or name the file .csv, where a cell in quotes may hold one",
    ),
    "quoted break in TSV": (
        "x.tsv",
        'text\tlabel\n"a\nfilm"\tpos\n',
        (0, 1),
        "x.tsv:2: 1 tab-separated columns, column 1 wanted (counted from 0); only in a file named .csv may a cell in "
        "quotes go on over lines",
    ),
    "a short row": (
        "x.csv",
        "text,label\na,pos\nb\n",
        (0, 1),
        "x.csv:3: 1 comma-separated columns, column 1 wanted (counted from 0); mend the line or choose other columns",
    ),
    "commas in TSV": (
        "x.tsv",
        "text,label\na,pos\n",
        (0, 1),
        "x.tsv:1: 1 tab-separated columns, column 1 wanted (counted from 0); a file with other separators than tabs is "
        "named .csv",
    ),
    "unclosed quote": (
        "x.csv",
        'text,label\n"a film,pos\nb,neg\n',
        (0, 1),
        f"x.csv:2: not CSV: the quote that begins column 0 (counted from 0) is never closed; {RULE}",
    ),
    "a quote closed by another row's": (
        "x.csv",
        'text,label\na,"pos\n"b",neg\n',
        (0, 1),
        f"x.csv:2: not CSV: text after the quote that ends column 1 (counted from 0) in line 3; {RULE}",
    ),
    "text after a quote": (
        "x.csv",
        'text,label\n"a" film,pos\n',
        (0, 1),
        f"x.csv:2: not CSV: text after the quote that ends column 0 (counted from 0); {RULE}",
    ),
    "carriage returns alone": (
        "x.csv",
        "text,label\ra,pos\rb,neg\r",
        (0, 1),
        "x.csv:1: not CSV: a carriage return without a line feed in column 1 (counted from 0); end lines with a line "
        "feed, or put the cell in quotes",
    ),
    "carriage returns alone in TSV": (
        "x.tsv",
        "text\tlabel\ra\tpos\rb\tneg\r",
        (0, 1),
        "x.tsv:1: a carriage return without a line feed in column 1 (counted from 0); end lines with a line feed",
    ),
    "one carriage return alone in TSV": (
        "x.tsv",
        "text\tlabel\na\tpos\rb\tneg\n",
        (0, 1),
        "x.tsv:2: 3 tab-separated columns, where line 1 has 2: column 2 (counted from 0) is one too many; a carriage "
        "return in it ends no line; end lines with a line feed",
    ),
    "empty": ("x.csv", "", (0, 1), "x.csv: the file is empty; give one with text in it"),
    "header alone": ("x.csv", "text,label\n", (0, 1), "x.csv:1: columns: text, label, and no record below them"),
    "header again": (
        "x.csv",
        "text,label\na,pos\n\ufefftext,label\nb,neg\n",
        (0, 1),
        "x.csv:3: names the columns again; take the line out",
    ),
    "a name twice": (
        "x.csv",
        "text,label,text\na,pos,b\n",
        ("text", "label"),
        'x.csv:1: columns 0 and 2 are both named "text"; choose by number, counted from 0',
    ),
    "a name that is missing": (
        "x.csv",
        "txt,label\na,pos\n",
        ("text", "label"),
        'x.csv:1: no column is named "text"; did you mean "txt"?',
    ),
    "a header nobody knows": (
        "x.csv",
        "aussage;stimmung\n" + GERMAN,
        (0, 1),
        f'x.csv:1: no other row has the label "stimmung"; {CHOICE}',
    ),
    "a header nobody knows, a rare label": (
        "x.csv",
        "aussage;stimmung\n" + GERMAN + "Hm.;neutral\n",
        (0, 1),
        f'x.csv:1: no other row has the label "stimmung"; {CHOICE}',
    ),
    "UTF-16": ("x.csv", "text,label\na,pos\n".encode("utf-16"), (0, 1), "x.csv: is UTF-16; convert the file to UTF-8"),
    "UTF-16 without a mark": (
        "x.csv",
        "text,label\na,pos\n".encode("utf-16-le"),
        (0, 1),
        "x.csv:1: NUL character at byte 1 of the text; looks like UTF-16; convert the file to UTF-8",
    ),
    "Latin-1": (
        "x.csv",
        "text,label\ncafé,pos\n".encode("latin-1"),
        (0, 1),
        "x.csv:2: not UTF-8: byte 0xe9 at byte 14 of the text; convert the file to UTF-8",
    ),
    "CP949": (
        "x.csv",
        "text,label\n나는 학생,pos\n".encode("cp949"),
        (0, 1),
        "x.csv:2: not UTF-8: byte 0xb3 at byte 11 of the text; it looks like CP949, which Korean spreadsheets write; "
        "convert the file to UTF-8",
    ),
    "NUL": (
        "x.csv",
        "text,label\na\0b,pos\n",
        (0, 1),
        "x.csv:2: NUL character at byte 12 of the text; remove it: no text holds it",
    ),
    "ZIP or a workbook": (
        "x.csv",
        zipped,
        (0, 1),
        "x.csv: is a ZIP archive or an Office document (.xlsx); unpack it, or save the sheet as CSV in UTF-8",
    ),
    "an old workbook": (
        "x.csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        (0, 1),
        "x.csv: is an old Office document (.xls, .doc); save it as CSV or text in UTF-8",
    ),
    "a page": (
        "x.csv",
        "<!DOCTYPE html>\n<html><body>text,label</body></html>\n",
        (0, 1),
        "x.csv:1: is a page of the web (HTML or XML), and no table; fetch the file that it links to",
    ),
    "JSON under another name": (
        "x.csv",
        '{"text": "a", "label": "pos"}\n',
        (0, 1),
        "x.csv:1: is JSON, and no table of cells; name the file .jsonl, or .json where it is a list",
    ),
    "Parquet under another name": (
        "x.csv",
        lambda: parquet(text=["a"], label=["pos"]),
        (0, 1),
        "x.csv: is Parquet; name it .parquet",
    ),
    "gzip cut short": (
        "x.csv.gz",
        gzip.compress(b"text,label\n" + b"a,pos\n" * 99, mtime=0)[:-9],
        (0, 1),
        "x.csv.gz: the compressed file is damaged or cut short (a gzip member ends early); fetch it again",
    ),
    "no gzip": (
        "x.csv.gz",
        "text,label\na,pos\n",
        (0, 1),
        "x.csv.gz: not .gz data, as its name says; rename or fetch it again",
    ),
    "a key twice": (
        "x.jsonl",
        '{"text": "a", "label": "b", "text": "c"}\n',
        ("text", "label"),
        'x.jsonl:1: not JSON (the key "text" comes twice in one object); each line must be one object',
    ),
    "a truncated line": (
        "x.jsonl",
        '{"text": "a", "label": "b"}\n{"text": "c", "lab',
        ("text", "label"),
        "x.jsonl:2: not JSON (Unterminated string starting at: line 1 column 15 (char 14)); each line must be one "
        "object",
    ),
    "nested": (
        "x.jsonl",
        '{"text": {"en": "a"}, "label": "b"}\n',
        ("text", "label"),
        'x.jsonl:1: the value of "text" is not a string; choose another key',
    ),
    "null": (
        "x.jsonl",
        '{"text": null, "label": "b"}\n',
        ("text", "label"),
        'x.jsonl:1: the value of "text" is null; fill it in, or leave the record out',
    ),
    "a short array": (
        "x.jsonl",
        '["a", "b"]\n["a"]\n',
        (0, 1),
        "x.jsonl:2: 1 items, item 1 wanted (counted from 0); mend the line",
    ),
    "Parquet of another type": (
        "x.parquet",
        lambda: parquet(text=[1, 2], label=["a", "b"]),
        ("text", "label"),
        'x.parquet: column "text" holds int64, and no text; choose another column',
    ),
    "Parquet with null": (
        "x.parquet",
        lambda: parquet(text=["a", None], label=["a", "b"]),
        ("text", "label"),
        'x.parquet:2: the value of "text" is null; fill it in, or leave the record out',
    ),
    "Parquet without the column": (
        "x.parquet",
        lambda: parquet(txt=["a"], label=["a"]),
        ("text", "label"),
        'x.parquet: no column is named "text"; did you mean "txt"?',
    ),
    "Parquet of too few columns": (
        "x.parquet",
        lambda: parquet(text=["a"]),
        (0, 1),
        "x.parquet: has 1 columns, column 1 wanted (counted from 0)",
    ),
}


def write(folder: Path, name: str, content: str | bytes | Callable[[], bytes]) -> Path:
    path = folder / name
    given = content if isinstance(content, (str, bytes)) else content()
    path.write_bytes(given.encode() if isinstance(given, str) else given)
    return path


@pytest.mark.parametrize("case", READ)
def test_tables_are_read_rightly(case: str, tmp_path: Path) -> None:
    name, content, rows = READ[case]
    assert [values for _, values in read_records(write(tmp_path, name, content), (0, 1), label=1)] == rows


@pytest.mark.parametrize("case", REFUSED)
def test_tables_are_refused_in_one_line_that_says_where(case: str, tmp_path: Path) -> None:
    name, content, columns, says = REFUSED[case]
    with pytest.raises(SightlineError) as error:
        list(read_records(write(tmp_path, name, content), columns, label=columns[1]))
    assert str(error.value) == f"{tmp_path}/{says}"


def test_a_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    whole = parquet(text=["a"] * 9, label=["b"] * 9)
    for content in (whole[:-20], b"text,label\n", whole[:4] + b"\xff" * 60 + whole[64:]):
        path = write(tmp_path, "x.parquet", content)
        with pytest.raises(
            SightlineError, match=r"x\.parquet: is damaged or no Parquet \(.*\); fetch or write it again$"
        ):
            list(read_records(path, ("text", "label")))


def test_a_missing_pyarrow_is_told_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "x.parquet", lambda: parquet(text=["a"], label=["b"]))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(SightlineError, match=r"pip install 'sightline\[parquet\]'"):
        list(read_records(path, ("text", "label")))


def test_reading_goes_on_behind_what_is_no_row(tmp_path: Path) -> None:
    """And what a quote that is never closed took along comes again, but for the ends of cells."""
    text = 'text,label\na,pos\n"never closed,neg\nb,pos\nc,d,neg\n\xff,pos\n"x" y,neg\n"two\nlines",pos\ne,neg\n'
    path = write(tmp_path, "x.csv", text.encode("latin-1"))
    bad: list[str] = []
    found = list(read_records(path, (0, 1), label=1, bad=lambda error: bad.append(str(error))))
    assert found == [(2, ("a", "pos")), (4, ("b", "pos")), (8, ("two\nlines", "pos")), (10, ("e", "neg"))]
    assert [int(line.removeprefix(f"{path}:").split(":")[0]) for line in sorted(bad)] == [3, 5, 6, 7]


def test_a_header_of_sentences_that_only_its_owner_can_tell(tmp_path: Path) -> None:
    rows = "".join(f"Das ist {i}.\tThis is {i}.\n" for i in range(10))
    path = write(tmp_path, "x.tsv", "Satz\tUebersetzung\n" + rows)
    with pytest.raises(SightlineError) as error:
        list(read_pairs(PairSource(source=str(path))))
    assert str(error.value) == f'{path}:1: "Satz, Uebersetzung" could be names of columns; {CHOICE}'
    assert len(list(read_pairs(PairSource(source=str(path), header=True)))) == 10
    assert len(list(read_pairs(PairSource(source=str(path), header=False)))) == 11
    known = write(tmp_path, "y.tsv", "de_text\ten_text\n" + rows)
    assert len(list(read_pairs(PairSource(source=str(known))))) == 10
    short = write(tmp_path, "z.tsv", "".join(f"Wort {i}\tword {i}\n" for i in range(10)))
    assert len(list(read_pairs(PairSource(source=str(short))))) == 10


HEADED = "token\ttag\nAda\tB-PER\nsang\tO\n\nOslo\tB-LOC\n"
TAGGED = [(("Ada", "sang"), ("B-PER", "O")), (("Oslo",), ("B-LOC",))]


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("x.tsv", "Ada\tB-PER\nsang\tO\n\nOslo\tB-LOC\n", None),
        ("x.tsv", HEADED, None),
        ("x.csv", "word,pos,tag\r\nAda,N,B-PER\r\nsang,V,O\r\n,,\r\nOslo,N,B-LOC\r\n", ("word", "tag")),
        ("x.csv", '"Ada";"B-PER"\nsang;O\n\nOslo;B-LOC\n', None),
        ("x.jsonl", '{"tokens": ["Ada", "sang"], "ner_tags": ["B-PER", "O"]}\n\n'
         '{"tokens": ["Oslo"], "ner_tags": ["B-LOC"]}', None),
        ("x.json", '[{"w": ["Ada", "sang"], "t": ["B-PER", "O"]}, {"w": ["Oslo"], "t": ["B-LOC"]}]', ("w", "t")),
        ("x.parquet", lambda: parquet(tokens=[["Ada", "sang"], ["Oslo"]], tags=[["B-PER", "O"], ["B-LOC"]]), None),
    ],
)  # fmt: skip
def test_tagged_units_in_every_form(name, content, columns, tmp_path: Path) -> None:
    source = TaggedSource(source=str(write(tmp_path, name, content)), columns=columns)
    assert list(read_tagged(source)) == TAGGED
    assert len(source.notices()) == (content == HEADED)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"tokens": ["a", "b"], "tags": ["O"]}', "x.jsonl:1: 2 units and 1 tags; each unit has one"),
        ('{"tokens": ["a"], "tags": [3]}', 'x.jsonl:1: "tags" holds numbers; write what they stand for, as in "B-PER"'),
        ('{"tokens": ["a"], "tags": "O"}', 'x.jsonl:1: "tags" is not a list of texts; mend the record'),
        ('{"tokens": ["a"], "tags": ["PER"]}', "x.jsonl:1: the tag 'PER' is not BIO: O, or B- or I- and a kind; "
         "write them so"),
        ('{"toks": ["a"], "tags": ["O"]}', "x.jsonl:1: no key of a list of units (tokens, words, units) "
         "among toks, tags; say which keys they are with columns"),
    ],
)  # fmt: skip
def test_tagged_records_that_are_none(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SightlineError) as error:
        list(read_tagged(TaggedSource(source=str(write(tmp_path, "x.jsonl", content)))))
    assert str(error.value) == f"{tmp_path}/{says}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", 'question,context,answer\nWho?,"Ada, of Oslo, sang.",Oslo\nWhy?,Nobody knows.,\n'),
        ("x.tsv", "id\tcontext\tquestion\tanswer\tanswer_start\n"
         "1\tAda, of Oslo, sang.\tWho?\tOslo\t8\n2\tNobody knows.\tWhy?\t\t\n"),
        ("x.parquet", lambda: parquet(
            question=["Who?", "Why?"], context=["Ada, of Oslo, sang.", "Nobody knows."],
            answers=[{"text": ["Oslo"], "answer_start": [8]}, {"text": [], "answer_start": []}],
        )),
    ],
)  # fmt: skip
def test_questions_in_every_form(name, content, tmp_path: Path) -> None:
    one, other = read_questions(QuestionSource(source=str(write(tmp_path, name, content))))
    assert (one.question, one.context, one.answers) == ("Who?", "Ada, of Oslo, sang.", (("Oslo", 8),))
    assert (other.question, other.answers) == ("Why?", ())


def test_lines_of_a_table_are_no_text(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, "x.csv", 'text,label\n"a, b",pos\nb,neg\n')
    assert sightline("data", "check", path, "--task", "language") == 2
    assert (
        "is a table (text, label); say which column holds the text with column (--columns)" in capsys.readouterr().err
    )
    assert sightline("data", "check", path, "--task", "language", "--columns", "text") == 0
    assert capsys.readouterr().out.startswith("train: 2 documents\n")


def test_more_columns_than_two_are_told_where_nobody_chose(tmp_path: Path) -> None:
    path = write(tmp_path, "x.tsv", "id\tko\ten\n1\t나\tI\n")
    (line,) = PairSource(source=str(path)).notices()[1:]
    assert line == f"{path}: has 3 columns, of which 0 and 1 are read; choose others with --columns"
    assert len(PairSource(source=str(path), source_column=1, target_column=2).notices()) == 1
