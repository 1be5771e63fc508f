"""What every error of the server looks like, and which ones the API's description lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

# what ends a line somewhere, and what terminals obey
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST_PLACE = 200

# pydantic's kinds of errors whose own words speak of types rather than of what was sent
WORDS = {
    "missing": "is needed",
    "extra_forbidden": "is not known here",
    "string_too_long": "longer than {max_length:,} characters",
    "string_too_short": "empty",
    "too_long": "more than {max_length} of them",
    "too_short": "empty; give {min_length} at least",
    "json_invalid": "not JSON",
}


class ErrorDetails(BaseModel):
    message: str = Field(description="one line: where, what is wrong, what to do")
    type: str
    code: int = Field(description="the status of the answer")


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetails

    @classmethod
    def of(cls, status: int, kind: str, message: str) -> ErrorBody:
        return cls(error=ErrorDetails(message=one_line(message), type=kind, code=status))


def one_line(message: str) -> str:
    """A message as one line of Unicode, whatever it quotes: control characters are written as escapes."""
    escaped = CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), message)
    return escaped.encode("utf-8", "replace").decode()


def describe_validation(problems: Sequence[Any]) -> str:
    """What is wrong with a request, from pydantic's errors: the field, then the reason, without names of types.

    Args:
        problems: of a body; the field's name is the first part of each one's place.
    """
    # where a field may be of several types, what is wrong inside the one that was meant says more
    problem = min(
        problems, key=lambda one: (one["type"].endswith("_type"), -sum(type(part) is int for part in one["loc"]))
    )
    name, *inner = problem["loc"] or ["body"]
    # beside numbers, the further parts are pydantic's names of types
    place = ".".join(["body" if type(name) is int else str(name), *(str(one) for one in inner if type(one) is int)])
    reason = WORDS[problem["type"]].format(**problem.get("ctx", {})) if problem["type"] in WORDS else problem["msg"]
    return f"{place[:LONGEST_PLACE]}: {reason[:1].lower()}{reason[1:]}"


BUSY_HEADERS = {"Retry-After": {"description": "seconds until it is worth trying again", "schema": {"type": "integer"}}}
# for the description of every route that reads a body
RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request cannot be answered as it is"},
    401: {"model": ErrorBody, "description": "The server asks for a token"},
    403: {"model": ErrorBody, "description": "The request comes from another site's page"},
    404: {"model": ErrorBody, "description": "No model has that name"},
    408: {"model": ErrorBody, "description": "The request took too long to arrive"},
    413: {"model": ErrorBody, "description": "The request is too large"},
    421: {"model": ErrorBody, "description": "The server is not asked under that name"},
    422: {"model": ErrorBody, "description": "A field is missing, unknown or out of range"},
    429: {"model": ErrorBody, "description": "Too many requests wait", "headers": BUSY_HEADERS},
    500: {"model": ErrorBody, "description": "A defect of the server"},
    503: {"model": ErrorBody, "description": "The server is going down, or full", "headers": BUSY_HEADERS},
}


def streamed(description: str, model: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """For the description of a route that may answer with server-sent events, or with the JSON of a model."""
    text = {"schema": {"type": "string"}, "example": 'data: {"piece": " of"}\n\ndata: {"done": {}}\n\n'}
    known = {} if model is None else {"model": model}
    return {200: {"description": description, "content": {"text/event-stream": text}, **known}}
