"""How a server holds up: many clients, far too many, and clients that leave in the middle.

    python benchmarks/serve.py runs/transformer-ko-en
    python benchmarks/serve.py runs/transformer-ko-en --language-run runs/novels --leaving 1000

Starts `sightline serve` on a free port, asks it with clients of its own, and prints: requests a second of one text at a
time (--slots 1) and of texts computed together, the answers' times, what the memory grew by, the same at four times as
many clients, and whether all slots are free after so many clients have left in mid-generation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path


@dataclass
class Answers:
    """What clients got: seconds of each answer, and how often which status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@contextmanager
def server(runs: list[str], *words: str) -> Iterator[tuple[int, int]]:
    """(process id, port) of a server."""
    command = [sys.executable, "-m", "sightline", "serve", *runs, "--port", "0", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", said)):
            line = process.stderr.readline()
            if not line:
                raise SystemExit(f"the server did not start: {said}")
            said += line
        try:
            yield process.pid, int(found.group(1))
        finally:
            process.terminate()


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024  # pyright: ignore[reportOptionalMemberAccess]


class Client:
    """One connection that is kept open: a library's client would cost more than what it measures."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    def send(self, path: str, body: dict | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        verb = "GET" if body is None else "POST"
        head = f"{verb} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self.writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def ask(self, path: str, body: dict | None = None) -> tuple[int, dict[str, str], bytes]:
        self.send(path, body)
        return await self.answer()


async def clients(port: int, count: int, seconds: float, texts: list[str]) -> Answers:
    """So many clients that each ask again as soon as they are answered, or may."""
    answers, end = Answers(), time.monotonic() + seconds

    async def one(number: int) -> None:
        draw, client = random.Random(number), Client(port)
        await client.connect()
        while (began := time.monotonic()) < end:
            status, headers, _ = await client.ask("/v1/translate", {"text": draw.choice(texts)})
            answers.statuses[status] += 1
            if status == 200:
                answers.seconds.append(time.monotonic() - began)
            else:
                await asyncio.sleep(float(headers.get("retry-after", 1)) * draw.uniform(0.5, 1.5))
        client.writer.close()

    await asyncio.gather(*(one(number) for number in range(count)))
    return answers


async def leaving(port: int, count: int, path: str, body: dict) -> bool:
    """So many clients, 32 at a time, leave after a random moment of an answer; whether all slots are free then."""
    limit = asyncio.Semaphore(32)

    async def one(number: int) -> None:
        async with limit:
            client, draw = Client(port), random.Random(number)
            await client.connect()
            client.send(path, {**body, "stream": number % 2 == 0})
            await asyncio.sleep(draw.uniform(0, 0.2))
            client.writer.transport.abort()

    await asyncio.gather(*(one(number) for number in range(count)))
    for _ in range(100):
        client = Client(port)
        await client.connect()
        _, _, found = await client.ask("/health")
        client.writer.close()
        if not any(json.loads(found)["in_work"].values()):
            return True
        await asyncio.sleep(0.1)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a translation run")
    parser.add_argument("--language-run", help="a language model, for the clients that leave")
    parser.add_argument("--seconds", type=float, default=120, help="of the main phase; others take a quarter")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--leaving", type=int, default=1000)
    chosen = parser.parse_args()

    from sightline.data.grammar import split

    texts = [one.korean for one in islice(split("deep"), 200)] + [one.korean for one in islice(split("test"), 200)]
    with server([chosen.run], "--slots", "1", "--waiting", str(chosen.clients)) as (_, port):
        alone = asyncio.run(clients(port, chosen.clients, chosen.seconds / 4, texts))
    rate_alone = len(alone.seconds) / (chosen.seconds / 4)
    last = alone.quantile(0.99)
    print(f"one at a time: {rate_alone:.1f} requests/s, 99th percentile {last:.2f} s, {dict(alone.statuses)}")
    runs = [chosen.run, *([chosen.language_run] if chosen.language_run else [])]
    with server(runs) as (pid, port):
        idle = resident(pid)
        asyncio.run(clients(port, chosen.clients, 15, texts))  # what is in work at a time, caches and threads are there
        before = resident(pid)
        full = asyncio.run(clients(port, chosen.clients, chosen.seconds, texts))
        rate = len(full.seconds) / chosen.seconds
        print(
            f"{chosen.clients} clients: {rate:.1f} requests/s ({rate / rate_alone:.2f} x), median "
            f"{full.quantile(0.5):.2f} s, 99th percentile {full.quantile(0.99):.2f} s, {dict(full.statuses)}, "
            f"memory {idle:.0f} MiB idle, {before:.0f} after 15 s of load, {resident(pid):.0f} at the end"
        )
        over = asyncio.run(clients(port, 4 * chosen.clients, chosen.seconds / 4, texts))
        print(
            f"{4 * chosen.clients} clients: accepted {len(over.seconds)}, 99th percentile {over.quantile(0.99):.2f} s "
            f"({over.quantile(0.99) / full.quantile(0.99):.2f} x), {dict(over.statuses)}, "
            f"memory {resident(pid):.0f} MiB"
        )
        path, body = "/v1/translate", {"text": max(texts, key=len), "beam": 8}
        if chosen.language_run:
            path, body = "/v1/generate", {"prompt": "", "max_tokens": 1000, "strategy": "sample", "temperature": 2.0}
        free = asyncio.run(leaving(port, chosen.leaving, path, body))
        print(f"{chosen.leaving} clients left in the middle: {'all slots free' if free else 'SLOTS ARE HELD'}")


if __name__ == "__main__":
    main()
