"""What a run's weights depend on beside the random numbers, noted with every checkpoint: settings, files, data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sightline.errors import CheckpointError

IDENTITY = "identity"  # its key in `state.json`; checkpoints of the first version have none


@dataclass(frozen=True)
class Identity:
    """Going on with another one would be another run.

    Attributes:
        settings: those that decide the weights, as "training.learning_rate": 0.001.
        files: SHA-256 of what was made for the run, as "tokenizer/text.json".
        data: a fingerprint of the encoded training and validation data; None where the task gives none.
        code: SHA-256 of the plug-ins that made it, by their names.
    """

    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    data: str | None = None
    code: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, object]:
        found: dict[str, object] = {"settings": dict(self.settings), "files": dict(self.files), "data": self.data}
        return {**found, "code": dict(self.code)} if self.code else found

    @classmethod
    def of_state(cls, state: Mapping[str, object], where: str) -> Identity | None:
        """What the state of a checkpoint notes; None where it notes nothing. Raises CheckpointError where damaged."""
        if IDENTITY not in state:
            return None
        try:
            return cls.from_json(state[IDENTITY])
        except (KeyError, TypeError, AttributeError, ValueError):
            raise CheckpointError(f"{where}: damaged (not the identity of a run)") from None

    @classmethod
    def from_json(cls, values: object) -> Identity:
        """What `to_json` gave. Raises KeyError, TypeError, AttributeError or ValueError where it is something else."""
        if not isinstance(values, dict):
            raise TypeError("not the identity of a run")
        found = cast("dict[str, Any]", values)
        files = {name: str(digest) for name, digest in found["files"].items()}
        data = found["data"]
        code = {name: str(digest) for name, digest in found.get("code", {}).items()}
        return cls(dict(found["settings"]), files, None if data is None else str(data), code)

    def require_same(self, now: Identity, where: str) -> None:
        """Raises CheckpointError naming the first thing in which `now` differs.

        A setting, plug-in or data that only one of both knows, as of different versions of Sightline, is passed over;
        a file is not.
        """
        for key, value in self.settings.items():
            if key in now.settings and now.settings[key] != value:
                raise CheckpointError(
                    f"{where}: was trained with {key} = {value!r}, not {now.settings[key]!r}; "
                    "restore the configuration, or start over with fresh=True"
                )
        for name in sorted({*self.files, *now.files}):
            if self.files.get(name) != now.files.get(name):
                raise CheckpointError(
                    f"{where}: was trained with another {name}, which has changed since; "
                    "restore it from a copy, or start over with fresh=True"
                )
        for name in sorted(self.code.keys() & now.code.keys()):
            if self.code[name] != now.code[name]:
                raise CheckpointError(
                    f"{where}: was trained with another {name}, which has changed since; give the plug-in as it was "
                    "(the run keeps a copy in plugins), or start over with fresh=True"
                )
        if self.data is not None and now.data is not None and self.data != now.data:
            raise CheckpointError(
                f"{where}: was trained on other data; the files of data.train or data.validation have changed since: "
                "restore them, or start over with fresh=True"
            )
