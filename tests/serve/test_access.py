"""Who may ask, how much, in what form; what is refused, and how that is said."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from libretranslatepy import LibreTranslateAPI
from PIL import Image
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from support.commands import sightline
from support.serving import TEXT, Server, post, serving, serving_all

# of each route, right ones and wrong ones; SIGHTLINE_CASES=250 makes about 5,000 in all
CASES = int(os.environ.get("SIGHTLINE_CASES", "8"))


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_all(kinds, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


def test_who_may_ask(served: Server, kinds: dict[str, Path]) -> None:
    with served.client() as client:
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/v1/models", headers={"host": "[::1"}).status_code == 421
        assert client.get("/v1/models", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "null"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "http://["}).status_code == 403
        assert client.get("/v1/models", headers={"origin": served.url}).status_code == 200
        answer = client.get("/")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/nothing.js", "/nowhere"):
            assert client.get(path).status_code == 404
        for name in ("../transformer", "/etc/passwd", str(kinds["gpt"]), "\x00"):
            assert client.post("/v1/generate", json={"model": name, "prompt": "x"}).status_code == 404
    with serving([kinds["gpt"]], token="correct-horse") as server, server.client() as client:
        for path in ("/", "/health", "/ready", "/ready/gpt"):
            assert client.get(path).status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong-horse"}, {"authorization": "Basic correct-horse"}):
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/v1/models", headers={"authorization": "Bearer correct-horse"}).status_code == 200
        # LibreTranslate's clients have the token in the body, and there alone
        assert LibreTranslateAPI(f"{server.url}/", "correct-horse").languages() == []
        asked = {"q": "x", "source": "de", "target": "en"}
        for body in ({"json": {**asked, "api_key": "correct-horse"}}, {"data": {**asked, "api_key": "correct-horse"}}):
            assert "no model here translates" in client.post("/translate", **body).json()["error"]
        for key in ("wrong-horse", "\ud800", 1, ["correct-horse"], None):
            assert client.post("/translate", content=json.dumps({**asked, "api_key": key})).status_code == 401
        for content in (b"", b"[1]", b"[" * 50_000, b"\xff=1&api_key=wrong"):
            assert client.post("/translate", content=content).status_code == 401
        assert client.post("/v1/generate", json={"prompt": "x", "api_key": "correct-horse"}).status_code == 401


def test_no_more_is_read_than_may_be_sent(served: Server) -> None:
    with served.client() as client:
        assert client.post("/v1/fill", content=b"x" * 600_000).status_code == 413
        assert client.post("/v1/fill", content=(b"x" * 60_000 for _ in range(10))).status_code == 413  # chunked
        refused = client.post("/v1/translate", json={"text": "x" * 20_001})
        assert refused.status_code == 422
        assert len(refused.json()["error"]["message"]) < 300
        assert client.post("/v1/generate", json={"prompt": "x", "max_tokens": 10**9}).status_code == 422
        assert client.post("/v1/generate", json={"prompt": "x", "bem": 1}).status_code == 422
        assert client.post("/v1/translate", json={"text": ["x"] * 65}).status_code == 422
        assert client.post("/v1/translate", json={"text": "rot " * 4000}).status_code == 400  # over the run's limit
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # promises more than it may
        raw.sendall(b"POST /v1/fill HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in raw.recv(1000)
    for head in (b"Host: 127.0.0.1", b"Host: elsewhere.example"):  # one that reads no answer before it has sent all
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"POST /v1/fill HTTP/1.1\r\n%b\r\nContent-Length: 8000000\r\n\r\n" % head + b"x" * 8_000_000)
            assert raw.recv(1000).split()[1] in (b"413", b"421")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"text": 1}', b'{"text": "\\ud800"}', b'{"text": null}', b"\xff",
        b'{"text": "rot", "beam": 1e400}', b'{"text": "rot", "beam": 0}', b'{"text": {"a": []}}',
        b'{"text": "\\u0000"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_bad_bodies_get_one_line(body: bytes, client: httpx.Client) -> None:
    for path in ("/v1/translate", "/v1/fill", "/v1/attention", "/v1/completions"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code < 500
        if answer.status_code != 200:
            message = answer.json()["error"]["message"]
            assert message
            assert "\n" not in message
            assert "Traceback" not in message


def test_no_message_has_a_second_line(client: httpx.Client) -> None:
    """Whatever is quoted in it."""
    for text in ("a\nb", "a\rb", "a\u2028b", "a\x85b", "a\x1b[31mb", "\ud800"):
        for path, body in (
            ("/v1/translate", {"model": text, "text": "rot"}),
            ("/v1/attention", {"model": "transformer", "text": TEXT, "site": text}),
            ("/v1/generate", {"prompt": "red", text: 1}),
            ("/v1/completions", {"model": text, "prompt": "red"}),
            ("/translate", {"q": "x", "source": text, "target": "en"}),
        ):
            answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500
            error = answer.json()["error"]
            message = error if isinstance(error, str) else error["message"]
            assert len(message.splitlines()) == 1, message
            assert message.isprintable(), message


def test_errors_and_events_are_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    posts = {path: verbs["post"]["responses"] for path, verbs in described.items() if "post" in verbs}
    assert {"/v1/translate", "/v1/score", "/v1/completions", "/translate", "/detect"} <= set(posts)
    for path, responses in posts.items():
        assert {"200", "400", "401", "404", "413", "422", "429", "503"} <= set(responses), path
        assert "Retry-After" in responses["429"]["headers"], path
    for path in ("/v1/translate", "/v1/generate", "/v1/completions"):
        assert set(posts[path]["200"]["content"]) == {"application/json", "text/event-stream"}, path
    assert {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"} == set(
        described["/translate"]["post"]["requestBody"]["content"]
    )
    for path in ("/health", "/ready", "/ready/{name}", "/languages", "/frontend/settings", "/metrics"):
        assert "get" in described[path]


def test_whatever_the_description_allows(served: Server) -> None:
    """Requests made up from /openapi.json, right and wrong ones: no answer is the server's own error, and every one
    is of a status and a type that the description has."""
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    seen: Counter[int] = Counter()
    paths = set()
    for operation in schema.get_all_operations():
        one = operation.ok()
        paths.add(one.path)
        for mode in schemathesis.GenerationMode:

            @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=one.as_strategy(generation_mode=mode))
            def answered(case: Any) -> None:
                answer = case.call(base_url=served.url)
                seen[answer.status_code] += 1
                assert answer.status_code < 500, (case.as_curl_command(), answer.text)
                case.validate_response(answer, checks=[status_code_conformance, content_type_conformance])

            with suppress(Unsatisfiable):  # a path without parameters cannot be wrong
                answered()
    print(f"{seen.total():,} cases, by status: {dict(sorted(seen.items()))}")
    assert {"/v1/translate", "/v1/generate", "/v1/completions", "/translate", "/metrics"} <= paths
    assert seen[200] > 20
    assert seen[422] > 20
    assert served.idle()


def test_images_that_are_none(client: httpx.Client) -> None:
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    for image in ("", "????", base64.b64encode(b"GIF89a").decode(), base64.b64encode(bomb.getvalue()).decode()):
        for path in ("/v1/classify", "/v1/attention"):
            answer = client.post(path, json={"model": "vit", "image": image})
            assert answer.status_code == 400, (image[:20], answer.text)
            assert answer.json()["error"]["message"].startswith("image: ")


def test_metrics_are_counted(client: httpx.Client) -> None:
    post(client, "/v1/fill", text="a [MASK]")
    for number in range(5):
        client.get(f"/nowhere-{number}")
    text = client.get("/metrics").text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|sightline_\w+\{\w+="[^"]*"(,\w+="[^"]*")*\} [\d.e+-]+', line), line
    assert "nowhere" not in text
    assert 'sightline_requests_total{path="/v1/fill",status="200"}' in text


def test_a_server_of_its_own_process(runs: dict[str, Path], tmp_path: Path) -> None:
    """From the command line; on SIGTERM it finishes what it has begun, then ends."""
    command = [sys.executable, "-m", "sightline", "serve", str(runs["seq2seq"]), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stderr is not None
        lines = []
        while not lines or "open http" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[-1])
        assert found
        body = {"text": TEXT, "beam": 16, "n_best": 16, "stream": True}
        with httpx.Client(base_url=found.group(), timeout=60, trust_env=False) as client:
            assert client.get("/health").json()["status"] == "ok"
            with client.stream("POST", "/v1/translate", json=body) as answer:
                lines = answer.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                rest = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        assert "done" in rest[-1]
        assert process.wait(20) in (0, -signal.SIGTERM, 143)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "others could use it"),
        (["--token", "short"], "at least 8"),
        (["--port", "99999"], "--port"),
    ],
)
def test_what_serve_refuses(words: list[str], message: str, runs: dict[str, Path], capsys) -> None:
    assert sightline("serve", runs["seq2seq"], *words) == 2
    assert message in capsys.readouterr().err
    assert sightline("serve", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_port_that_is_taken(runs: dict[str, Path], capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sightline("serve", runs["seq2seq"], "--port", taken.getsockname()[1]) == 2
    assert "address already in use" in capsys.readouterr().err
