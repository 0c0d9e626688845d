"""Chat templates come with checkpoints, that is, from strangers: they run in Jinja's immutable sandbox, with limits.

The sandbox keeps a template from reaching Python; the limits keep it from eating the machine: size of the template
and of every text it makes, depth of its loops, number of calls, size of `range`.
What a template can see is what `transformers` gives it, so that both render the same text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

#: The longest public templates (with tools) are near 20,000 characters.
MAX_TEMPLATE_CHARS = 131_072
MAX_OUTPUT_CHARS = 16_000_000
MAX_LOOP_DEPTH = 5
MAX_CALLS = 200_000
MAX_RANGE = 10_000
#: Text methods and filters whose argument is a width, that is, a size of memory.
_WIDE_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "translate"})
_WIDE_FILTERS = ("center", "indent", "format", "wordwrap", "batch", "slice", "pprint", "urlize", "filesizeformat")


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant says; the text is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - the name and type are Jinja's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Returns the statements between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Generator(CodeGenerator):
    """Jinja's code generator, with `a ~ b` going through the environment's bounded join."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `a ~ b`."""
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox with a budget for one rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"])
        self.num_calls = 0
        for name in _WIDE_FILTERS:
            self.filters.pop(name, None)
        self.filters["replace"] = lambda value, *args: self._text_method(str(value), "replace", args)
        self.filters["join"] = _join
        self.globals.pop("lipsum", None)
        self.globals["range"] = _range

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Joins what a block or a macro rendered."""
        return _bounded_join("", parts)

    @staticmethod
    def join_texts(parts: Iterable[Any]) -> str:
        """`a ~ b`."""
        return _bounded_join("", map(str, parts))

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Counts calls, so that recursive macros end, and bounds the text methods that make long text of short."""
        self.num_calls += 1
        if self.num_calls > MAX_CALLS:
            raise SecurityError(f"more than {MAX_CALLS} calls")
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str) and name in _WIDE_METHODS | {"replace", "join", "format", "format_map"}:
            return self._text_method(str(owner), name, args)
        return super().call(context, obj, *args, **kwargs)

    def _text_method(self, text: str, name: str, args: tuple[Any, ...]) -> str:
        if name == "join" and len(args) == 1:
            return _bounded_join(text, map(str, args[0]))
        if name == "replace" and len(args) in (2, 3):
            old, new = str(args[0]), str(args[1])
            _check_size(len(text) + text.count(old) * len(new))
            return text.replace(old, new, *map(int, args[2:]))
        raise SecurityError(f"`{name}` is not available in a chat template")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Bounds joined and repeated text, powers and `%` on text."""
        if operator == "%" and isinstance(left, str):
            raise SecurityError("`%` on text is not available in a chat template")
        if operator == "**":
            raise SecurityError("`**` is not available in a chat template")
        if hasattr(left, "__len__") or hasattr(right, "__len__"):
            lengths = [len(value) if hasattr(value, "__len__") else int(value) for value in (left, right)]
            _check_size(sum(lengths) if operator == "+" else lengths[0] * lengths[1])
        return super().call_binop(context, operator, left, right)


def _check_size(num_chars: int) -> None:
    if num_chars > MAX_OUTPUT_CHARS:
        raise SecurityError(f"text of more than {MAX_OUTPUT_CHARS} characters")


def _bounded_join(glue: str, parts: Iterable[str]) -> str:
    texts = list(parts)
    _check_size(sum(map(len, texts)) + len(glue) * len(texts))
    return glue.join(texts)


def _join(values: Iterable[Any], glue: str = "", attribute: str | None = None) -> str:
    """Jinja's `join`, bounded."""
    picked = values if attribute is None else (value[attribute] for value in values)
    return _bounded_join(str(glue), map(str, picked))


def _range(*bounds: int) -> range:
    result = range(*bounds)
    if len(result) > MAX_RANGE:
        raise SecurityError(f"range over {MAX_RANGE}")
    return result


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON: Jinja's own filter escapes for HTML, which a model should not see."""
    if indent is not None and indent > 16:
        raise SecurityError("indent over 16")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _loop_depth(node: nodes.Node) -> int:
    inner = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)


class CompiledTemplate:
    """A chat template, parsed once.

    Args:
        text: the template.
        today: what `strftime_now` says; fixed by the caller, since a training set must not depend on the calendar.

    Raises:
        TemplateError: the template is too large or cannot be parsed.
    """

    def __init__(self, text: str, today: date) -> None:
        if len(text) > MAX_TEMPLATE_CHARS:
            raise TemplateError(f"{len(text)} characters; a chat template may have {MAX_TEMPLATE_CHARS}")
        self._environment = _Sandbox()
        self._environment.filters["tojson"] = _tojson
        self._environment.globals["raise_exception"] = _raise_exception
        self._environment.globals["strftime_now"] = _clock(today)
        if _loop_depth(self._environment.parse(text)) > MAX_LOOP_DEPTH:
            raise TemplateError(f"loops are nested deeper than {MAX_LOOP_DEPTH}")
        self._template: Template = self._environment.from_string(text)

    def render(self, variables: dict[str, Any]) -> str:
        """Renders the template within its limits.

        Raises:
            TemplateError: the template refuses, is wrong, or exceeds a limit.
        """
        self._environment.num_calls = 0
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(variables):
                size += len(part)
                if size > MAX_OUTPUT_CHARS:
                    raise SecurityError(f"renders more than {MAX_OUTPUT_CHARS} characters")
                parts.append(part)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        return "".join(parts)


def _clock(today: date) -> Callable[[str], str]:
    def strftime_now(pattern: str) -> str:
        return datetime.combine(today, time()).strftime(pattern[:200])

    return strftime_now
