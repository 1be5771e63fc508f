"""The cache of tokenised pairs: the same content once, whole or not at all, nothing left out silently."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from sightline.data import prepared, progress
from sightline.data.pairs import PairSource, encode_pairs
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError

TOKENIZER = Tokenizer.train(["a b c d e f g h"], kind="byte")


def pair_file(path, pairs):
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    return PairSource(source=str(path))


def encode(sources, cache_dir, *, limits=(5, 5), tokenizers=(TOKENIZER, TOKENIZER), report=progress.silent):
    return encode_pairs(
        sources,
        *tokenizers,
        max_source_tokens=limits[0],
        max_target_tokens=limits[1],
        cache_dir=cache_dir,
        report=report,
    )


def folders(cache_dir):
    return sorted(path.name for path in (cache_dir / "pairs").iterdir())


def test_pairs_keep_their_ids_and_the_rest_is_counted(tmp_path):
    pairs = [("abc", "de"), ("", "x"), ("x", "  "), ("abcdef", "x"), ("x", "abcdef"), ("abcde", "fghij"), ("", "")]
    encoded = encode([pair_file(tmp_path / "x.tsv", pairs)], tmp_path)
    assert len(encoded) == 2
    assert encoded.source(0).tolist() == TOKENIZER.encode("abc")
    assert encoded.target(1).tolist() == TOKENIZER.encode("fghij")
    assert encoded.source_lengths.tolist() == [3, 5]
    assert encoded.target_lengths.tolist() == [2, 5]
    assert encoded.source_lengths.dtype == np.int32
    assert encoded.read == 7
    assert encoded.skipped == {
        "with an empty side": 3,
        "with a source over 5 tokens": 1,
        "with a target over 5 tokens": 1,
    }
    assert encoded.summary() == (
        "7 pairs read, 2 kept (8 source and 7 target tokens); skipped: 3 with an empty side, "
        "1 with a source over 5 tokens, 1 with a target over 5 tokens"
    )


def test_the_work_is_done_once_for_the_same_content(tmp_path, monkeypatch):
    source = pair_file(tmp_path / "x.tsv", [("abc", "de"), ("f", "g")])
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    said = []
    first = encode([source], tmp_path, report=said.append)
    assert said == ["encoding: 2 pairs, 100 % read"]
    renamed = pair_file(tmp_path / "y.tsv", [("abc", "de"), ("f", "g")])
    monkeypatch.setattr(prepared, "_make", None)  # Any attempt to make it again would fail.
    for again in (encode([source], tmp_path), encode([renamed], tmp_path)):
        assert again.source(0).tolist() == first.source(0).tolist()
        assert again.skipped == first.skipped


def test_anything_that_matters_makes_another_entry(tmp_path):
    source = pair_file(tmp_path / "x.tsv", [("abc", "de"), ("f", "g")])
    encode([source], tmp_path)
    other = Tokenizer.train(["abc abc"], vocab_size=300)
    encode([source], tmp_path, limits=(4, 5))
    encode([source], tmp_path, limits=(5, 4))
    encode([source], tmp_path, tokenizers=(other, TOKENIZER))
    encode([source], tmp_path, tokenizers=(TOKENIZER, other))
    encode([PairSource(source=source.source, source_column=1, target_column=0)], tmp_path)
    encode([source, source], tmp_path)
    encode([pair_file(tmp_path / "x.tsv", [("abc", "de"), ("f", "h")])], tmp_path)
    assert len(folders(tmp_path)) == 8


def test_weights_do_not_make_another_entry(tmp_path):
    paths = [pair_file(tmp_path / f"{i}.tsv", [("a", "b")] * (i + 1)) for i in range(2)]
    for weights in ((1.0, 1.0), (0.5, 2.0)):
        sources = [PairSource(source=p.source, weight=w) for p, w in zip(paths, weights, strict=True)]
        encoded = encode(sources, tmp_path)
        assert encoded.mixing.bounds == (0, 1, 3)
        assert encoded.mixing.weights == weights
    assert len(folders(tmp_path)) == 1


def test_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_bytes(b"a\tb\n\xff\tc\n")
    with pytest.raises(DataError, match=":2: not UTF-8"):
        encode([PairSource(source=str(path))], tmp_path)
    assert folders(tmp_path) == []


def test_a_damaged_entry_is_made_again(tmp_path):
    source = pair_file(tmp_path / "x.tsv", [("abc", "de"), ("f", "g")])
    encode([source], tmp_path)
    (home,) = (tmp_path / "pairs").iterdir()
    for name in ("source.tokens", "target.offsets", "meta.json"):
        (home / name).write_bytes((home / name).read_bytes()[:-1])
        assert encode([source], tmp_path).source(0).tolist() == TOKENIZER.encode("abc")
    (home / "meta.json").unlink()
    assert encode([source], tmp_path).target(1).tolist() == TOKENIZER.encode("g")
    assert folders(tmp_path) == [home.name]


def test_what_another_process_is_encoding_is_left_alone(tmp_path):
    """Judged by its lock, not by its age: a folder may be a day old, or a clock wrong."""
    pairs = tmp_path / "pairs"
    (pairs / ".making-theirs").mkdir(parents=True)
    os.utime(pairs / ".making-theirs", (0, 0))
    code = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print('held', flush=True); sys.stdin.readline()"
    )
    held = [sys.executable, "-c", code, str(pairs / ".making-theirs.lock")]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        encode([pair_file(tmp_path / "x.tsv", [("a", "b")])], tmp_path)
        assert (pairs / ".making-theirs").exists()
        other.kill()
    encode([pair_file(tmp_path / "y.tsv", [("c", "d")])], tmp_path)
    assert [name for name in folders(tmp_path) if name.startswith(".")] == []


def test_what_a_killed_process_left_is_swept_at_once(tmp_path):
    stale = tmp_path / "pairs" / ".making-old"
    stale.mkdir(parents=True)
    (stale / "source.tokens").write_bytes(b"half")
    stale.with_name(".making-old.lock").touch()
    encode([pair_file(tmp_path / "x.tsv", [("a", "b")])], tmp_path)
    assert [name for name in folders(tmp_path) if name.startswith(".")] == []


def test_one_flipped_bit_is_found_and_the_data_made_again(tmp_path):
    source = pair_file(tmp_path / "x.tsv", [("abc", "de"), ("f", "g")])
    whole = encode([source], tmp_path)
    before = [side.tokens.tolist() + side.offsets.tolist() for side in (whole.sources, whole.targets)]
    (home,) = (tmp_path / "pairs").iterdir()
    files = sorted(path.name for path in home.iterdir())
    assert files == ["meta.json", "source.offsets", "source.tokens", "target.offsets", "target.tokens"]
    for name in files:
        content = bytearray((home / name).read_bytes())
        content[len(content) // 2] ^= 1
        (home / name).unlink()  # what is mapped keeps its bytes
        (home / name).write_bytes(content)
        said = []
        again = encode([source], tmp_path, report=said.append)
        assert [side.tokens.tolist() + side.offsets.tolist() for side in (again.sources, again.targets)] == before
        assert len(said) == 1, name
        assert said[0].startswith(f"{home}: cached data is damaged (")
        assert said[0].endswith("; it is made again")
    said = []
    encode([source], tmp_path, report=said.append)
    assert said == []


def test_nothing_left_is_refused(tmp_path):
    source = pair_file(tmp_path / "x.tsv", [("abcdef", "de"), ("", "g")])
    with pytest.raises(DataError, match=r"no pair is left to use: 2 pairs read, 0 kept .* 1 with an empty side"):
        encode([source], tmp_path)
    with pytest.raises(DataError, match="no such file"):
        encode([PairSource(source=str(tmp_path / "absent.tsv"))], tmp_path)
    with pytest.raises(DataError, match="is a directory"):
        encode([PairSource(source=str(tmp_path))], tmp_path)


def test_an_unwritable_cache_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="set SIGHTLINE_CACHE to a directory with space"):
        encode([pair_file(tmp_path / "x.tsv", [("a", "b")])], tmp_path / "file")


def test_the_environment_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "elsewhere"))
    encode([pair_file(tmp_path / "x.tsv", [("a", "b")])], None)
    assert len(folders(tmp_path / "elsewhere")) == 1


def test_large_vocabularies_get_wider_tokens(tmp_path):
    words = [f"w{i}" for i in range(70_000)]
    large = Tokenizer.train([" ".join(words)], kind="word", vocab_size=70_004)
    source = pair_file(tmp_path / "x.tsv", [(words[-1], "a"), (words[0], "b")])
    encoded = encode([source], tmp_path, tokenizers=(large, TOKENIZER))
    assert (encoded.sources.tokens.dtype, encoded.targets.tokens.dtype) == (np.uint32, np.uint16)
    assert max(encoded.source(0).max(), encoded.source(1).max()) > 65_535
    assert large.decode(encoded.source(0)) == words[-1]


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "_CHUNK_RECORDS", 256)
    peaks = []
    for count in (30_000, 60_000):
        source = pair_file(tmp_path / f"{count}.tsv", [(f"abc{i % 10}", "de") for i in range(count)])
        tracemalloc.start()
        encode([source], tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4_000_000
    assert peaks[1] < 1.2 * peaks[0]


def test_a_line_of_ten_megabytes_is_skipped_and_counted(tmp_path):
    tokenizer = Tokenizer.train(["a b c"] * 3, vocab_size=262)
    source = pair_file(tmp_path / "x.tsv", [("a", "b"), ("a" * 10_000_000, "b"), ("c", "b")])
    encoded = encode([source], tmp_path, tokenizers=(tokenizer, tokenizer))
    assert len(encoded) == 2
    assert encoded.skipped["with a source over 5 tokens"] == 1
