"""Fields of objects as models write them, read leniently, and what is wrong with an object in one line."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError


def _numbers(value: Any) -> Any:
    """Numbers as models write them: 3, "1, 2", ["[1]", "2"]."""
    parts = value if isinstance(value, list) else [value]
    return [int(number) for part in parts for number in re.findall(r"\d{1,6}", str(part))]


def _line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


#: A text on one line.
Line = Annotated[str, BeforeValidator(_line)]
#: Numbers, of sentences as a rule.
Numbers = Annotated[tuple[int, ...], BeforeValidator(_numbers)]


def said(error: ValidationError) -> str:
    """The first thing that is wrong with an object, as it is told to who wrote it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['msg']}"
