"""What a model looked at, and what it might have written instead, as plain values for an answer."""

from __future__ import annotations

import asyncio
import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline.data.pixels import open_image
from sightline.decode import log_probabilities
from sightline.errors import DataError, UsageError
from sightline.jsonio import finite
from sightline.predict.streaming import INCOMPLETE, NEAR, after
from sightline.serve.requests import AttentionRequest, ReadingRequest, as_list, within_limits
from sightline.serve.served import ServedModel
from sightline.sight import heads, views
from sightline.sight.reading import Reading, look

MAX_CHECKED = 64  # positions: each takes a pass
MAX_PIXELS = 40_000_000


async def image(served: ServedModel, encoded: str) -> np.ndarray:
    """What a model sees of an image file in base64, or of a data: address. Raises UsageError where it is none."""
    if not served.predictor.reads_images:
        raise UsageError("image: this model reads text")
    return await asyncio.to_thread(_image, served, encoded)


def _image(served: ServedModel, encoded: str) -> np.ndarray:
    try:
        content = base64.b64decode(encoded.rpartition(",")[2], validate=True)
    except ValueError:
        raise UsageError("image: not base64") from None
    model: Any = served.predictor
    try:
        return model.pixels(open_image(io.BytesIO(content), MAX_PIXELS))
    except DataError:
        raise UsageError(f"image: none that can be read, or more than {MAX_PIXELS:,} pixels") from None


def read_by(served: ServedModel, body: ReadingRequest, pixels: np.ndarray | None) -> tuple[Any, list[Any], Reading]:
    """(the model, what it reads, and that as it reads it) of a request. Raises UsageError where they do not fit."""
    model = served.at(body.checkpoint)
    if served.predictor.reads_images:
        if pixels is None:
            raise UsageError("image: this model reads an image; send one in base64")
        if body.text is not None:
            raise UsageError("text: this model reads an image; leave it out")
        given: list[Any] = [pixels]
    elif body.text is None:
        raise UsageError("text: give what the model is to read")
    else:
        given = list(as_list(body.text))
    wanted = served.texts
    if len(given) != wanted:
        raise UsageError(f"text: {len(given)} texts; the model reads {wanted}")
    if body.target is not None and "target" not in model.reading_options:
        raise UsageError("target: only a translation has one")
    return model, given, model.reading(*given, **_options(model, body, given))


def attention_of(served: ServedModel, request: tuple[AttentionRequest, np.ndarray | None]) -> dict[str, Any]:
    """Attention of one site of a model while it reads what was asked about: a text, or the pixels of an image."""
    body, pixels = request
    model, given, reading = read_by(served, body, pixels)
    seen, read = look(reading, *views.ATTENTION, "*.mask"), reading.sides[reading.input_axis]
    found: dict[str, Any] = {
        "outputs": reading.outputs,
        "log_probabilities": [round(one, 6) for one in seen.log_probabilities],
        "sites": views.attention_sites(seen),
        "read": views.side_data(read),
    }
    if body.heads:
        found["heads"] = [{"site": site.label, **_numbers(values)} for site, values in heads.table(seen)[1]]
    checked = None
    if body.check and reading.outputs:
        if len(read) > MAX_CHECKED:
            raise UsageError(f"check: at most {MAX_CHECKED} positions; give a shorter text")
        checked = views.occlusion_view(reading)
        found["occlusion"] = {"values": views.json_numbers(checked.losses), "taken": checked.occlusion}
    if found["sites"]:
        shown = views.attention_view(seen, body.site)
        found |= shown.detailed()
        mask = views.mask_of(seen, shown.site)
        if not mask.all():
            found["mask"] = mask.astype(int).tolist()
        if checked is not None:
            found["agreement"] = checked.agreement(shown.output_weights)
            if shown.output_weights is not None:
                found["output_weights"] = views.json_numbers(shown.output_weights)
    if served.predictor.reads_images:
        found["image"] = _patches(model, given[0])
    return found


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: views.json_number(value) for name, value in values.items()}


def _options(model: Any, body: ReadingRequest, given: Sequence[Any]) -> dict[str, Any]:
    """What a reading is told beside its inputs."""
    options: dict[str, Any] = {"end_only": True} if "end_only" in model.reading_options else {}
    if body.target is not None:
        return {**options, "target": body.target}
    if "search" in model.reading_options:  # for a translation of its own
        options["search"] = within_limits(model.settings.search, len(model.encode_source(*given)))
    return options


def _patches(model: Any, pixels: np.ndarray) -> dict[str, Any]:
    """The image as it was read, as a PNG file in base64, and the class token's attention rolled out over patches."""
    from PIL import Image

    looked = model.attention(pixels)
    array = looked.pixels[:, :, 0] if looked.pixels.shape[2] == 1 else looked.pixels
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return {"png": base64.b64encode(file.getvalue()).decode(), "rollout": views.json_numbers(looked.rollout)}


def explain_translation(served: ServedModel, given: tuple[list[int], list[int], int, int, bool]) -> dict[str, Any]:
    """Of a finished translation: the likeliest tokens at each place, and where the decoder looked."""
    source, target, places, count, attention = given
    model: Any = served.predictor
    found: dict[str, Any] = {}
    if count:
        found |= _likeliest(model.logits(source, target)[:places], model.tokenizers["target"], [], target, count)
    if attention:
        looked = model.attention(source, target)
        found["attention"] = (
            None
            if looked is None
            else {
                "weights": views.json_numbers(looked.mean()),
                "source": views.side_data(looked.source),
                "target": views.side_data(looked.target),
            }
        )
    return found


def explain_continuation(served: ServedModel, given: tuple[list[int], list[int], int, int]) -> dict[str, Any]:
    """For each of the tokens that were written after a prompt: the likeliest ones in its place."""
    read, written, places, count = given
    model: Any = served.predictor
    # the token at the end of what is looked at is the last that was read before the last place
    logits = model.last_logits([*read, *written][: len(read) + places - 1], places)
    missing = places - len(logits)  # of a text longer than the model looks at at once
    found = _likeliest(logits, model.tokenizer, read, written, count, missing)
    return {**found, "candidates": [[]] * missing + found["candidates"]}


def _likeliest(
    logits_TV: Any, tokenizer: Any, read: Sequence[int], written: Sequence[int], count: int, first: int = 0
) -> dict[str, Any]:
    """Candidates for each place from `first` on, with their text there; and where each place begins in the text that
    was written, in characters."""
    best = log_probabilities(logits_TV).topk(min(count, logits_TV.shape[-1]))
    candidates = []
    for place, (ids, values) in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True), first):
        before = [*read, *written[:place]][-NEAR:]
        candidates.append(
            [
                {"token": tokenizer.tokens([one])[0], "text": after(tokenizer, before, [one]), "log_probability": value}
                for one, value in zip(ids, values, strict=True)
                if math.isfinite(value)
            ]
        )
    texts = [after(tokenizer, list(read)[-NEAR:], written[:place]) for place in range(len(written) + 1)]
    return {"candidates": candidates, "offsets": [len(text.rstrip(INCOMPLETE)) for text in texts]}


def written(record: Any) -> dict[str, Any]:
    """A translation or continuation: its text, and how sure the model was of each token."""
    tokens = [*record.tokens, *(["</s>"] if len(record.token_log_probabilities) > len(record.tokens) else [])]
    return {
        "text": record.text,
        "tokens": probable(tokens, record.token_log_probabilities),
        "log_probability": finite(record.log_probability),
        "finished": record.finished,
        **confidence(record),
    }


def confidence(record: Any) -> dict[str, float]:
    """How sure one can be of it, where that was asked for."""
    return {} if record.confidence is None else {"confidence": record.confidence}


def probable(tokens: Sequence[str], log_probabilities: Sequence[float | None]) -> list[dict[str, Any]]:
    """Tokens with ln p of each."""
    return [
        {"token": token, "log_probability": finite(one)} for token, one in zip(tokens, log_probabilities, strict=True)
    ]
