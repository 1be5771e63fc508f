"""The catalogue: files come verified or not at all, from the user's own folder or from their public address."""

import gzip
import hashlib
import http.server
import os
import re
import threading

import pytest

from sightline.data import catalogue
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.public_sets import PUBLIC_SETS, DataFile, DataSet
from sightline.errors import DataError, UsageError

TEXT = b"one\ntwo\n"
SHA = hashlib.sha256(TEXT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body, promised = self.server.answers.get(self.path, (404, b"", 0))
        if callable(body):
            status, body, promised = body(len(self.server.asked))
        self.send_response(status)
        self.send_header("Content-Length", str(promised or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(catalogue, "_SECONDS_BETWEEN_TRIES", (0.0, 0.0))
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    files = (
        DataFile("plain.en", SHA, f"{base}/plain.en"),
        DataFile("packed.de.gz", SHA, f"{base}/packed.de.gz"),
    )
    alone = (DataFile("made.txt", SHA),)
    sets = {
        "toy": DataSet("toy", "A toy.", "none", "none", base, files),
        "made": DataSet("made", "Made here.", "none", "none", "https://example.org", alone),
    }
    for name, data_set in sets.items():
        monkeypatch.setitem(PUBLIC_SETS, name, data_set)
    server.answers["/plain.en"] = (200, TEXT, 0)
    server.answers["/packed.de.gz"] = (200, gzip.compress(TEXT, mtime=7), 0)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def contents(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


def test_a_set_is_fetched_once_and_read(server, tmp_path, monkeypatch):
    folder = catalogue.get("toy", tmp_path)
    assert folder == tmp_path / "data" / "toy"
    assert contents(folder) == ["packed.de.gz", "plain.en"]
    assert catalogue.get("toy", tmp_path) == folder
    assert server.asked == ["/plain.en", "/packed.de.gz"]
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))
    pairs = list(read_pairs(PairSource(source="toy:plain.en", target="toy:packed.de")))
    assert pairs == [("one", "one"), ("two", "two")]
    assert len(server.asked) == 2


def test_packing_does_not_matter_only_content_does(server, tmp_path):
    server.answers["/plain.en"] = (200, gzip.compress(TEXT), 0)
    server.answers["/packed.de.gz"] = (200, TEXT, 0)
    assert contents(catalogue.get("toy", tmp_path)) == ["packed.de", "plain.en.gz"]
    catalogue.get("toy", tmp_path)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"other\n", 0), "SHA-256 of its content"),
        ((500, b"", 0), "500"),
        ((404, b"", 0), "404"),
        ((200, TEXT[:4], len(TEXT)), "IncompleteRead|SHA-256"),
        ((200, gzip.compress(TEXT)[:-5], 0), "SHA-256 of its content unreadable"),
    ],
)
def test_a_failed_fetch_is_one_clear_line_and_leaves_nothing(server, tmp_path, answer, said):
    server.answers["/plain.en"] = answer
    with pytest.raises(DataError, match=said) as error:
        catalogue.get_file("toy", "plain.en", tmp_path)
    assert str(error.value).startswith("toy:plain.en: cannot be fetched from http://127.0.0.1")
    assert "\n" not in str(error.value)
    assert server.asked == ["/plain.en"] * 3
    assert contents(tmp_path) == []


def test_a_fetch_is_tried_again(server, tmp_path):
    server.answers["/plain.en"] = (200, lambda asked: (200, TEXT, 0) if asked == 3 else (503, b"", 0), 0)
    assert catalogue.get_file("toy", "plain.en", tmp_path).read_bytes() == TEXT


def test_a_damaged_copy_in_the_cache_is_fetched_again(server, tmp_path):
    path = catalogue.get_file("toy", "plain.en", tmp_path)
    path.write_bytes(b"damage")
    assert catalogue.get_file("toy", "plain.en", tmp_path).read_bytes() == TEXT


def test_the_users_own_folder_comes_first_and_is_verified(server, tmp_path, monkeypatch):
    own = tmp_path / "own"
    (own / "toy").mkdir(parents=True)
    monkeypatch.setenv("SIGHTLINE_DATA", str(own))
    (own / "toy" / "plain.en.gz").write_bytes(gzip.compress(TEXT))
    assert catalogue.get_file("toy", "plain.en", tmp_path) == own / "toy" / "plain.en.gz"
    with pytest.raises(DataError, match=r"packed\.de\.gz is missing; put it there"):
        catalogue.get("toy", tmp_path)
    (own / "toy" / "packed.de").write_bytes(b"other")
    with pytest.raises(DataError, match="not the file the catalogue knows"):
        catalogue.get("toy", tmp_path)
    (own / "toy" / "packed.de").write_bytes(TEXT)
    assert catalogue.get("toy", tmp_path) == own / "toy"
    assert server.asked == []


def test_files_without_an_address_say_where_to_put_them(server, tmp_path):
    with pytest.raises(DataError, match=r"made:made.txt: has no public address .* under \$SIGHTLINE_DATA/made"):
        catalogue.get("made", tmp_path)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UsageError, match='no data set "mult30k"; did you mean "multi30k"'):
        catalogue.get("mult30k")
    with pytest.raises(UsageError, match=r'multi30k has no file "train\.eng"; did you mean "train\.en\.gz"'):
        catalogue.get_file("multi30k", "train.eng")


def test_the_catalogue_is_well_formed():
    assert catalogue.names() == sorted(PUBLIC_SETS)
    for name, data_set in PUBLIC_SETS.items():
        assert data_set.name == name
        assert data_set.title
        assert data_set.licence
        assert data_set.homepage.startswith("https://")
        assert len({file.name.removesuffix(".gz") for file in data_set.files}) == len(data_set.files) > 0
        for file in data_set.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            # An address names one commit for ever, not a branch that moves.
            assert file.address is None or re.match(
                r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.", file.address
            )


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
def test_real_sets_are_the_ones_the_catalogue_knows():
    here = [name for name in catalogue.names() if os.path.isdir(os.path.join(os.environ["SIGHTLINE_DATA"], name))]
    if not here:
        pytest.skip("no set of the catalogue lies in SIGHTLINE_DATA")
    for name in here:
        assert catalogue.get(name).name == name
