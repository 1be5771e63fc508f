"""The fields of a request's body, in whichever form clients send them: JSON, URL-encoded or multipart."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from sightline.errors import UsageError
from sightline.serve.requests import MAX_TEXTS

MAX_FIELDS = MAX_TEXTS + 20
MULTIPART = "multipart/form-data"
URL_ENCODED = "application/x-www-form-urlencoded"


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields by name; of a form, one that is given several times is a list. What names no type is URL-encoded.

    Raises UsageError where the body is neither JSON nor a form, or has a file in it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if "json" in kind:
            fields = await request.json()
        elif kind == MULTIPART:
            fields = await _multipart(request)
        else:
            text = (await request.body()).decode("utf-8")
            fields = _single(parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except HTTPException as error:  # of starlette's parser, within an application
        raise UsageError(f"body: {error.detail}") from None
    except MultiPartException as error:
        raise UsageError(f"body: {error.message}") from None
    except (ValueError, RecursionError):
        raise UsageError("body: neither JSON nor a form in UTF-8") from None
    if not isinstance(fields, dict):
        raise UsageError("body: a JSON object is needed")
    return fields


async def _multipart(request: Request) -> dict[str, Any]:
    async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
        return _single({name: [str(one) for one in form.getlist(name)] for name in form})


def _single(values: dict[str, list[str]]) -> dict[str, Any]:
    return {name: given[0] if len(given) == 1 else given for name, given in values.items()}
