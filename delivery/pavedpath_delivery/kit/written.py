"""YAML files that a person wrote, held against a model: one error has the file's name and every mistake in it."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.mistakes import mistakes

ModelT = TypeVar("ModelT", bound=BaseModel)


def load(path: Path, model: type[ModelT], what: str, fix: str) -> ModelT:
    """Return what a file says.

    Args:
        path: the file.
        model: what it must be.
        what: what such a file is called, for example "smoke test".
        fix: what to do about mistakes, as a sentence.

    Raises:
        DeliveryError: it cannot be read, is no YAML, or is not as the model says; names every mistake and no value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read ({error.strerror}).", Exit.USAGE) from None
    except UnicodeDecodeError:
        raise DeliveryError(f"{path} is no UTF-8 text.\nFix: {fix}", Exit.USAGE) from None
    return parse(text, str(path), model, what, fix)


def parse(text: str, name: str, model: type[ModelT], what: str, fix: str) -> ModelT:
    """Return what a file's text says; `name` is that of the file, the rest as in `load`. Pure.

    Raises:
        DeliveryError: as in `load`.
    """
    try:
        document: Json = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that is none
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        line = f" (line {mark.line + 1})" if mark else ""
        raise DeliveryError(f"{name} is no YAML{line}.\nFix: {fix}", Exit.USAGE) from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        said = ["it is empty"] if document is None else mistakes(error, document)
        lines = [f"{name} is no {what}:", *(f"  {each}" for each in said), f"Fix: {fix}"]
        raise DeliveryError("\n".join(lines), Exit.USAGE) from None
