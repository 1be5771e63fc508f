"""Makes the runs of this folder, and what they are to give, with version 0.1.0 of Sightline (commit cfce161) alone.

    PYTHONPATH=path/to/version-0.1.0/src python tests/old_runs/make.py

Writes `data/` (texts and images of this script's own making), `finished/` (a tiny run of every task and kind of model),
`stopped/` (some of them as SIGTERM left them halfway), `expected.json` (what each run gives, and the machine that
computed it), `surface.json` (the configuration keys, commands, methods and names that users write) and `recipes.json`
(every recipe with all its defaults). On one machine it makes the same again, but for the times in `metrics.jsonl`.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["SIGHTLINE_CACHE"] = tempfile.mkdtemp()
HERE = Path(__file__).parent
sys.dont_write_bytecode = True

import click  # noqa: E402
import numpy as np  # noqa: E402
import outputs  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sightline.training import schema  # noqa: E402

import sightline  # noqa: E402
from sightline import cli, config  # noqa: E402
from sightline.train import loop  # noqa: E402

# After how many of their 12 updates runs were stopped.
STOPPED = {"transformer": 6, "gru": 6, "gpt": 6, "recurrent": 8, "bert-classifier": 6, "lora": 6, "vit": 6}
KEPT = ("recurrent",)  # finished runs that keep their checkpoints
FIRST = ("bert",)  # what others are fine-tuned from
# Attributes of loaded runs that no document names: what the package's own rooms call each other by.
INTERNAL = (
    "schema",
    "make_model",
    "first_of",
    "open_search",
    "to_search",
    "admit",
    "translation",
    "generation",
    "pieces",
    "read_out",
)

COLOURS = {"빨간": "red", "파란": "blue", "늙은": "old", "작은": "small"}
ANIMALS = {"개": "dog", "고양이": "cat", "새": "bird"}
PLACES = {"집": "house", "나무": "tree", "강": "river"}
VERBS = {"본다": "sees", "찾는다": "seeks", "그린다": "draws"}


def noun(draw: random.Random, nouns: dict[str, str]) -> tuple[str, str]:
    """(Korean, English) with a colour or without."""
    korean, english = draw.choice(list(nouns.items()))
    if draw.random() < 0.5:
        colour, coloured = draw.choice(list(COLOURS.items()))
        return f"{colour} {korean}", f"{coloured} {english}"
    return korean, english


def pair(draw: random.Random) -> tuple[str, str]:
    who, where, (verb, does) = noun(draw, ANIMALS), noun(draw, PLACES), draw.choice(list(VERBS.items()))
    subject = who[0] + ("가" if who[0][-1] in "개고양이" else "는")
    return f"{subject} {where[0]}도 {verb}.", f"The {who[1]} {does} the {where[1]}."


def write_texts(name: str, count: int, draw: random.Random) -> None:
    pairs = [pair(draw) for _ in range(count)]
    for side, ending in enumerate(("ko", "en")):
        Path(f"data/{name}.{ending}").write_text("".join(f"{one[side]}\n" for one in pairs), encoding="utf-8")
    stories = ["".join(f"{english}\n" for _, english in pairs[at : at + 3]) for at in range(0, count, 3)]
    Path(f"data/{name}.stories").write_text("\n".join(stories), encoding="utf-8")


def write_labelled(name: str, count: int, draw: random.Random) -> None:
    lines = ["text\tother\tthird\tdog\tboth\tshared\tright"]
    for _ in range(count):
        texts = [pair(draw)[1] for _ in range(3)]
        dogs = ["dog" in text for text in texts]
        shared = len({*texts[0].split()} & {*texts[1].split()})
        labels = ("yes" if dogs[0] else "no", "both" if dogs[0] and dogs[1] else "not", shared, draw.randrange(2))
        lines.append("\t".join([*texts, *map(str, labels)]))
    Path(f"data/{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tagged(name: str, count: int, draw: random.Random) -> None:
    kinds = {**dict.fromkeys(ANIMALS.values(), "AN"), **dict.fromkeys(PLACES.values(), "PL")}
    records = []
    for _ in range(count):
        lines, coloured = [], False
        for word in pair(draw)[1].rstrip(".").split():
            if word in COLOURS.values():
                coloured = True
                lines.append(word)
                continue
            kind = kinds.get(word)
            if coloured:  # a span begins at the colour of its noun
                lines[-1] += f"\tB-{kind}"
            lines.append(f"{word}\t" + ("O" if kind is None else f"I-{kind}" if coloured else f"B-{kind}"))
            coloured = False
        records.append("\n".join(lines) + "\n")
    Path(f"data/{name}.bio").write_text("\n".join(records), encoding="utf-8")


def write_questions(name: str, count: int, draw: random.Random) -> None:
    articles = []
    for number in range(count):
        context = pair(draw)[1]
        word = next(word for word in ANIMALS.values() if word in context)
        asked = draw.choice(("animal", "colour of the sky"))
        answers = [{"text": word, "answer_start": context.index(word)}] if asked == "animal" else []
        question = {"id": f"{name}-{number}", "question": f"Which {asked}?", "answers": answers}
        articles.append({"title": "", "paragraphs": [{"context": context, "qas": [question]}]})
    Path(f"data/{name}.squad.json").write_text(json.dumps({"version": "2", "data": articles}), encoding="utf-8")


def write_images(name: str, count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 60, (count, 12, 12), dtype=np.uint8)
    labels = draw.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        down, right = (6 * half + draw.integers(0, 4) for half in divmod(int(label), 2))
        image[down : down + 3, right : right + 3] = 255
    np.savez_compressed(f"data/{name}.npz", images=images, labels=labels)


def write_data() -> None:
    Path("data").mkdir()
    for seed, (name, count) in enumerate((("train", 60), ("validation", 12), ("test", 12))):
        draw = random.Random(seed)
        write_texts(name, count, draw)
        write_labelled(name, count, draw)
        write_tagged(name, count, draw)
        write_questions(name, count, draw)
        write_images(name, count // 2, seed)


def said(*words: str) -> tuple[int, str]:
    """(exit code, standard output) of a command."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            cli.main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
    if code not in (0, 143):
        raise RuntimeError(f"{words}: {code}: {errors.getvalue()}")
    return code, output.getvalue()


@contextlib.contextmanager
def stopping_after(updates: int):
    """Inside, this process asks itself to stop during the given update, as a user does with `kill`."""
    real, calls = loop.accumulate, 0

    def accumulate(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == updates:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    loop.accumulate = accumulate
    try:
        yield
    finally:
        loop.accumulate = real


def train(name: str) -> None:
    run, stopped = Path("finished") / name, Path("stopped") / name
    words = ("train", f"configs/{name}.toml", "--run", str(run))
    said(*words)
    if name in STOPPED:
        whole = load_file(run / "model.safetensors")
        shutil.rmtree(run)
        with stopping_after(STOPPED[name]):
            code, _ = said(*words)
        assert code == 143, (name, code)
        shutil.copytree(run, stopped)
        (stopped / ".lock").unlink(missing_ok=True)
        begun = load_file(stopped / "checkpoints" / f"step-{STOPPED[name]}" / "weights.safetensors")
        said(*words)
        resumed = load_file(run / "model.safetensors")
        assert any(not torch.equal(begun[key], tensor) for key, tensor in whole.items()), name
        assert all(torch.equal(resumed[key], tensor) for key, tensor in whole.items()), name
    (run / ".lock").unlink(missing_ok=True)
    if name not in KEPT:
        shutil.rmtree(run / "checkpoints", ignore_errors=True)


def expected(name: str) -> dict[str, Any]:
    run = Path("finished") / name
    model: Any = sightline.load(run)
    found = {
        "evaluated": json.loads(said("evaluate", str(run), "--json")[1]),
        "used": outputs.plain(outputs.used(model)),
        "weights": {key: list(tensor.shape) for key, tensor in sorted(load_file(run / "model.safetensors").items())},
    }
    if name != "ngram":
        found["seen"] = outputs.plain(outputs.seen(model))
        found["captured"] = outputs.captured(model)
    return found


def parameters(function: Any) -> dict[str, Any]:
    """The parameters of a function: name → [how it is given, its default as text, None where there is none]."""
    return {
        one.name: [one.kind.name, None if one.default is one.empty else repr(one.default)]
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    }


def members(owner: type) -> dict[str, Any]:
    """The public attributes of a class: of methods their parameters, of all else None."""
    found: dict[str, Any] = {}
    for name in dir(owner):
        value = inspect.getattr_static(owner, name)
        if name in INTERNAL or (name.startswith("_") and name != "__init__"):
            continue
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        found[name] = parameters(value) if inspect.isfunction(value) else None
    return found


def options(command: click.Command, path: str) -> dict[str, Any]:
    """Every verb with the spellings of its options, and its arguments in order."""
    inside = getattr(command, "commands", None)
    if inside is not None:
        return {key: value for name, one in inside.items() for key, value in options(one, f"{path} {name}").items()}
    arguments = [one.name for one in command.params if one.param_type_name == "argument"]
    spellings = sorted(
        word for one in command.params if one.param_type_name == "option" for word in (*one.opts, *one.secondary_opts)
    )
    return {path.strip(): {"arguments": arguments, "options": spellings}}


def surface() -> dict[str, Any]:
    import typer.main

    tasks = {}
    for run in sorted(Path("finished").iterdir()):
        model: Any = sightline.load(run)
        tasks[model.settings.task] = outputs.keys(type(model.settings).model_json_schema())
    public = {name: getattr(sightline, name) for name in sightline.__all__}
    return {
        "package": {
            name: members(value) if inspect.isclass(value) else parameters(value) if callable(value) else None
            for name, value in public.items()
        },
        "commands": options(typer.main.get_command(cli.app), ""),
        "keys": tasks,
    }


def rounded(value: Any) -> Any:
    """Floats to the digits that fp32 has."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.8g}") if type(value) is float else value


def write_json(name: str, value: dict[str, Any]) -> None:
    """One line for each key."""
    lines = (
        f"{json.dumps(key)}: {json.dumps(rounded(one), ensure_ascii=False, separators=(',', ':'))}"
        for key, one in sorted(value.items())
    )
    Path(name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    os.chdir(HERE)
    torch.set_num_threads(1)
    for folder in ("data", "finished", "stopped"):
        shutil.rmtree(folder, ignore_errors=True)
    write_data()
    names = sorted((file.stem for file in Path("configs").glob("*.toml")), key=lambda name: (name not in FIRST, name))
    for name in names:
        train(name)
    write_json("expected.json", {"machine": outputs.machine(), **{name: expected(name) for name in names}})
    write_json("surface.json", surface())
    recipes = {}
    for name, text in config.recipes().items():
        values = config.parse(name, text)
        recipes[name] = config.validate(schema(values, name), values, name, text).model_dump(mode="json")
    write_json("recipes.json", recipes)


if __name__ == "__main__":
    main()
