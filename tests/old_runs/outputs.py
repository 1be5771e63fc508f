"""What a loaded run gives when it is used and looked into: `make.py` asks the old version, the test ours."""

from __future__ import annotations

import dataclasses
import itertools
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightline import capture
from sightline.sight.reading import look

KOREAN = ["빨간 개가 집도 본다.", "새는 작은 나무도 그린다.", "고양이가 파란 강도 찾는다."]
ENGLISH = ["The red dog sees the house.", "The bird draws the small tree.", "The cat seeks the blue river."]
RECORDS = {1: ENGLISH, 2: list(itertools.pairwise(ENGLISH)), 3: [tuple(ENGLISH), tuple(ENGLISH[::-1])]}


def machine() -> dict[str, str]:
    """What the last bits of the numbers hang on."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": model, "kernels": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


def images() -> np.ndarray:
    with np.load(Path(__file__).parent / "data" / "test.npz") as file:
        return file["images"][:3]


def used(model: Any) -> dict[str, Any]:
    """What users get of the run, by the call."""
    task = model.settings.task
    if task == "translation":
        return {
            "translate": model.translate(KOREAN),
            "translate one": model.translate(KOREAN[0], beam=3, n_best=3, attention=True),
            "translate with a prefix": model.translate(KOREAN[1], prefix="The", beam=1),
            "stream": list(model.stream(KOREAN[:2], batch_size=1)),
            "score": model.score(KOREAN, ENGLISH),
        }
    if task == "language":
        return {
            "generate": model.generate(["The red", "The bird"], max_tokens=8, strategy="beam", beam=2),
            "generate several": model.generate(
                "The cat", max_tokens=6, n=2, strategy="sample", temperature=0.7, seed=3
            ),
            "stream": list(model.stream("The", max_tokens=5, strategy="sample", top_k=4, seed=2)),
            "score": model.score(ENGLISH),
        }
    if task == "masked_language":
        return {"fill": model.fill("The red [MASK] sees the [MASK].", top=3)}
    if task == "classification":
        return {"predict": model.predict(RECORDS[model.settings.texts])}
    if task == "tagging":
        return {"tag": model.tag(["The red dog sees the house", "The bird draws the small tree"])}
    if task == "question_answering":
        return {
            "answer": model.answer("Which animal?", ENGLISH[0]),
            "answer several": model.answer(["Which animal?", "Which colour of the sky?"], ENGLISH[1]),
        }
    return {"predict": model.predict(list(images())), "attention": model.attention(images()[0])}


def inputs(model: Any) -> list[Any]:
    """What is looked at while the model reads it."""
    known: dict[str, list[Any]] = {
        "translation": [KOREAN[0]],
        "question_answering": ["Which animal?", ENGLISH[0]],
        "image_classification": [images()[0]],
        "masked_language": ["The red [MASK] sees the house."],
        "classification": ENGLISH[: getattr(model.settings, "texts", 1)],
        "tagging": ["The red dog sees the house"],
    }
    return known.get(model.settings.task, [ENGLISH[0]])


def seen(model: Any) -> dict[str, Any]:
    """The names that are recorded of one reading, with axes, shapes and the mean size of the numbers."""
    found = look(model.reading(*inputs(model)))
    return {
        "outputs": list(found.reading.outputs),
        "log_probabilities": list(found.log_probabilities),
        "sides": {axis: list(side.tokens) for axis, side in found.reading.sides.items()},
        "names": {name: [list(found.axes(name)), list(found[name].shape), size(found[name])] for name in found.names},
    }


def size(tensor: torch.Tensor) -> float:
    finite = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor
    return float(finite.float().abs().mean()) if finite.numel() else 0.0


def captured(model: Any) -> list[str]:
    """The names recorded while the run is used, in order."""
    with capture(model) as record:
        used(model)
    return list(record.names)


def keys(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every configuration key by its path, with its default, the words it is one of, and the pattern of its words.

    A table of one of several kinds has the kind in its path, as in "model.gpt.d_model"; of a list the path is that of
    one entry.
    """
    found: dict[str, dict[str, Any]] = {}

    def walk(node: Mapping[str, Any], path: str) -> None:
        default = node.get("default")
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].split("/")[-1]]
        for kind, reference in node.get("discriminator", {}).get("mapping", {}).items():
            walk({"$ref": reference}, f"{path}.{kind}")
        variants = [one for one in node.get("anyOf", []) if one.get("type") != "null"]
        inside = [*variants, *(node[name] for name in ("items", "additionalProperties") if node.get(name))]
        for one in (one for one in inside if isinstance(one, Mapping)):
            walk(one, path)
        for name, one in node.get("properties", {}).items():
            walk(one, f"{path}.{name}".lstrip("."))
        if "properties" not in node and "discriminator" not in node and path not in found:
            found[path] = {"default": default, "choices": node.get("enum", []), "pattern": node.get("pattern", "")}

    walk(schema, "")
    return found


def plain(value: Any) -> Any:
    """Records as dictionaries of their fields and properties, arrays as lists: what JSON can hold."""
    if dataclasses.is_dataclass(value):
        properties = [name for name, one in vars(type(value)).items() if isinstance(one, property)]
        fields = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in (*fields, *properties)}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.tolist()
    return value


def assert_gives(found: Any, expected: Any, where: str, tolerance: float = 1e-4) -> None:
    """Raises AssertionError where `found` lacks something that is `expected`, or has another value there.

    It may have more. Numbers agree to the tolerance, relative and absolute; "seconds" are left out.
    """
    if isinstance(expected, dict):
        for key, value in expected.items():
            if "second" not in key:
                inside = found[key] if isinstance(found, Mapping) else getattr(found, key)
                assert_gives(inside, value, f"{where}.{key}", tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (one, value) in enumerate(zip(found, expected, strict=True)):
            assert_gives(one, value, f"{where}[{place}]", tolerance)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance) or (
            math.isnan(found) and math.isnan(expected)
        ), f"{where}: {found}, not {expected}"
    else:
        assert found == expected, f"{where}: {found!r}, not {expected!r}"
