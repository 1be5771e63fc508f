"""The one list of tasks. What a user's plug-in adds is added here, and only when the user asks for it."""

from __future__ import annotations

from sightline.tasks.classification.spec import SPEC as CLASSIFICATION
from sightline.tasks.image_classification.spec import SPEC as IMAGE_CLASSIFICATION
from sightline.tasks.language.spec import SPEC as LANGUAGE
from sightline.tasks.masked_language.spec import SPEC as MASKED_LANGUAGE
from sightline.tasks.question_answering.spec import SPEC as QUESTION_ANSWERING
from sightline.tasks.spec import TaskSpec
from sightline.tasks.tagging.spec import SPEC as TAGGING
from sightline.tasks.translation.spec import SPEC as TRANSLATION

DEFAULT = TRANSLATION.name  # what a configuration without `task` is

_BUILT_IN = (
    TRANSLATION,
    LANGUAGE,
    MASKED_LANGUAGE,
    CLASSIFICATION,
    TAGGING,
    QUESTION_ANSWERING,
    IMAGE_CLASSIFICATION,
)
TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in _BUILT_IN}
