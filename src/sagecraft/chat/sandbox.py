"""Chat templates come with checkpoints, that is, from strangers: they run in Jinja's immutable sandbox, with limits.

The sandbox keeps a template from reaching Python; `_Budget` keeps it from eating the machine: characters made, steps of
loops, calls, size and depth of what it builds, seconds. What a template can see is what `transformers` gives it, so
that both render the same text; `{% generation %}` blocks are remembered as ranges of characters, as transformers does.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time as clock
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from string import Formatter
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

#: The longest public templates (with tools) are near 20,000 characters.
MAX_TEMPLATE_CHARS = 131_072
MAX_OUTPUT_CHARS = 16_000_000
MAX_LOOP_DEPTH = 5
MAX_CALLS = 100_000
MAX_RANGE = 10_000
#: Turns of all loops together: a conversation of 1,000 messages goes through a few of 1,000 each.
MAX_STEPS = 1_000_000
#: Characters of all texts that one rendering makes on the way, those it throws away included.
MAX_MADE_CHARS = 256_000_000
#: Characters that comparisons, searches and slices go through.
MAX_READ_CHARS = 2_000_000_000
#: A list or mapping that a template builds: entries, and levels.
MAX_ITEMS = 200_000
MAX_NESTING = 64
#: The last defence: a rendering takes milliseconds.
MAX_SECONDS = 10.0
_MAX_INTEGER_BITS = 4_096

#: Filters that need a size of memory as their argument, draw lots, or cost more than the length of their text.
_REMOVED_FILTERS = (
    "batch", "center", "filesizeformat", "pprint", "random", "slice", "striptags", "truncate", "urlize", "wordwrap", "xmlattr",
)  # fmt: skip
#: Filters that take a text as a text; the others go through it character by character, and get short ones only.
_TEXT_FILTERS = frozenset(
    {"abs", "attr", "capitalize", "count", "d", "default", "e", "escape", "float", "format", "indent", "int", "join"}
    | {"length", "lower", "replace", "round", "safe", "string", "tojson", "trim", "upper"}
)
_MAX_ITERATED_CHARS = 100_000
#: Text methods that are bounded by their argument, not by their text.
_WIDE_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "translate", "maketrans", "format_map"})
_BOUNDED_METHODS = frozenset({"replace", "join", "format"})
_SPLITTERS = frozenset({"split", "rsplit", "splitlines"})


class LimitError(SecurityError):
    """A template that uses more than it may."""


class _Budget:
    """What one rendering may still use."""

    def __init__(self) -> None:
        self.calls = self.steps = self.made = self.seen = 0
        self.deadline = clock.monotonic() + MAX_SECONDS

    def call(self) -> None:
        """Counts a call."""
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise LimitError(f"more than {MAX_CALLS} calls")
        self._look_at_clock(self.calls)

    def step(self, count: int = 1) -> None:
        """Counts turns of a loop."""
        self.steps += count
        if self.steps > MAX_STEPS:
            raise LimitError(f"loops of more than {MAX_STEPS} turns")
        self._look_at_clock(self.steps)

    def make(self, num_chars: int) -> None:
        """Counts a text before it is made."""
        if num_chars > MAX_OUTPUT_CHARS:
            raise LimitError(f"text of more than {MAX_OUTPUT_CHARS} characters")
        self.made += num_chars
        if self.made > MAX_MADE_CHARS:
            raise LimitError(f"texts of more than {MAX_MADE_CHARS} characters together")

    def read(self, value: Any) -> Any:
        """Counts what a comparison or a slice goes through."""
        if isinstance(value, str | list | tuple | dict):
            self.seen += len(value)
            if self.seen > MAX_READ_CHARS:
                raise LimitError(f"comparisons of more than {MAX_READ_CHARS} characters")
        return value

    def build(self, value: Any) -> Any:
        """Measures a list or mapping: one that holds itself many times over would be printed for ever."""
        if isinstance(value, list | tuple | dict):
            self._measure(value, [0, 0], 0)
        return value

    def _measure(self, value: Any, used: list[int], depth: int) -> None:
        used[0] += 1
        if depth > MAX_NESTING or used[0] > MAX_ITEMS or used[1] > MAX_OUTPUT_CHARS:
            raise LimitError(f"a value of more than {MAX_ITEMS} entries, {MAX_NESTING} levels or too much text")
        if isinstance(value, str):
            used[1] += len(value)
        elif isinstance(value, dict):
            for key, entry in value.items():
                self._measure(key, used, depth + 1)
                self._measure(entry, used, depth + 1)
        elif isinstance(value, list | tuple):
            for entry in value:
                self._measure(entry, used, depth + 1)

    def _look_at_clock(self, count: int) -> None:
        if count % 64 == 0 and clock.monotonic() > self.deadline:
            raise LimitError(f"takes longer than {MAX_SECONDS:.0f} seconds")


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant says; the text is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - the name and type are Jinja's

    def parse(self, parser: Parser) -> nodes.Node:
        """A block of its own scope, as in transformers, that reports where its text stands."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        text = caller()
        self.environment.mark_generated(text)  # type: ignore[attr-defined]
        return text


class _Generator(CodeGenerator):
    """Jinja's code generator, with `a ~ b` and literal lists going through the environment's limits."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `a ~ b`."""
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `[a, b]`."""
        self._measured(super().visit_List, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `(a, b)`, or of `a, b` on the left of an assignment."""
        if node.ctx == "load":
            self._measured(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `{a: b}`."""
        self._measured(super().visit_Dict, node, frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `a == b` and `a in b`."""
        self.write("(environment.read(")
        self.visit(node.expr, frame)
        self.write(")")
        for operand in node.ops:
            self.write(f" {operators[operand.op]} environment.read(")
            self.visit(operand.expr, frame)
            self.write(")")
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Writes the code of `a[b]`; a slice is a new text."""
        is_slice = isinstance(node.arg, nodes.Slice)
        self.write("environment.read(" if is_slice else "(")
        super().visit_Getitem(node, frame)
        self.write(")")

    def _measured(self, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame) -> None:
        self.write("environment.build(")
        visit(node, frame)
        self.write(")")


class _Namespace(Namespace):
    """Jinja's namespace without names that begin with an underscore: those mean something to Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        values = dict(*args[1:], **kwargs)
        for name in values:
            _refuse_underscore(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox with a budget for one rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"])
        self.begin()
        for name in _REMOVED_FILTERS:
            self.filters.pop(name)
        own = {"replace": self._replace, "join": self._join, "indent": self._indent, "format": self._format}
        self.filters.update(own, tojson=self._tojson)
        self.filters.update({name: self._bounded(name, function) for name, function in self.filters.items()})
        self.filters["_counted"] = self._counted
        self.globals = {
            "range": _range,
            "namespace": _Namespace,
            "dict": lambda *args, **kwargs: self.build(dict(*args, **kwargs)),
            "raise_exception": _raise_exception,
        }

    def begin(self) -> None:
        """A fresh budget, for one rendering."""
        self.budget = _Budget()
        self.build, self.read = self.budget.build, self.budget.read
        self.parts: list[str] = []
        self.num_chars = 0
        self.generated: list[tuple[int, int]] = []

    def mark_generated(self, text: str) -> None:
        """Remembers where the text of a `{% generation %}` block will stand."""
        self.generated.append((self.num_chars, self.num_chars + len(text)))

    @property
    def concat(self) -> Callable[[Iterable[str]], str]:  # type: ignore[override]
        """Joins what a block or a macro rendered."""
        return functools.partial(self._bounded_join, "")

    def join_texts(self, parts: Iterable[Any]) -> str:
        """`a ~ b`."""
        return self._bounded_join("", map(str, parts))

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Counts calls, so that recursive macros end, and bounds the text methods that make long text of short."""
        self.budget.call()
        own = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
        for value in (*args, *own.values()):  # a macro has them as lists: `varargs`, `kwargs`
            self.build(value)
        # Jinja wraps `format` in a function of its own.
        owner, name = getattr(getattr(obj, "__wrapped__", obj), "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str):
            if name in _WIDE_METHODS:
                raise SecurityError(f"`{name}` is not available in a chat template")
            if name in _BOUNDED_METHODS:
                bounded: dict[str, Callable[..., str]] = {
                    "replace": self._replace,
                    "join": lambda glue, values: self._join(values, glue),
                    "format": self._format_fields,
                }
                return bounded[name](str(owner), *args, **own)
            self.budget.make(len(owner))
            if name in _SPLITTERS:
                self.budget.make(8 * owner.count(args[0]) if args and args[0] else 4 * len(owner))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Bounds joined and repeated text and lists, powers, large numbers and `%` on text."""
        if operator == "+" and type(left) is str and type(right) is str:  # nearly always
            self.budget.make(len(left) + len(right))
            return left + right
        if operator == "%" and isinstance(left, str):
            raise SecurityError("`%` on text is not available in a chat template")
        if operator == "**":
            raise SecurityError("`**` is not available in a chat template")
        if isinstance(left, int) and isinstance(right, int):
            if left.bit_length() + right.bit_length() > _MAX_INTEGER_BITS:
                raise LimitError("a number is too large")
        elif hasattr(left, "__len__") or hasattr(right, "__len__"):
            lengths = [len(value) if hasattr(value, "__len__") else int(value) for value in (left, right)]
            size = sum(lengths) if operator == "+" else lengths[0] * lengths[1]
            if not isinstance(left, str) and not isinstance(right, str) and size > MAX_ITEMS:
                raise LimitError(f"a list of more than {MAX_ITEMS} entries")
            self.budget.make(size)
        return self.build(super().call_binop(context, operator, left, right))

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter whose texts are counted."""

        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            return function(*(self._weighed(name, value) for value in args), **kwargs)

        return bounded

    def _weighed(self, name: str, value: Any) -> Any:
        """An argument of a filter, counted by what the filter may do with it."""
        if isinstance(value, str):
            if name not in _TEXT_FILTERS and len(value) > _MAX_ITERATED_CHARS:
                raise LimitError(f"`{name}` of a text of more than {_MAX_ITERATED_CHARS} characters")
            self.budget.make(len(value))
        elif isinstance(value, list | tuple | dict | range):
            self.budget.step(len(value))
        elif isinstance(value, Iterator):
            return self._counted(value)
        return value

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        """What a loop goes through."""
        for value in values:
            self.budget.step()
            yield value

    def _bounded_join(self, glue: str, parts: Iterable[str]) -> str:
        texts = list(parts)
        self.budget.make(sum(map(len, texts)) + len(glue) * len(texts))
        return glue.join(texts)

    def _join(self, values: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
        """Jinja's `join`, bounded."""
        picked = values if attribute is None else (self.getitem(value, attribute) for value in values)
        return self._bounded_join(str(d), map(str, self._counted(picked)))

    def _replace(self, value: Any, old: Any, new: Any, count: int | None = None) -> str:
        text, old, new = str(value), str(old), str(new)
        self.budget.make(len(text) + (text.count(old) if count is None else int(count)) * len(new))
        return text.replace(old, new, -1 if count is None else int(count))

    def _indent(self, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        """Jinja's `indent` with a width of 64 at most."""
        lead = width if isinstance(width, str) else " " * min(int(width), MAX_NESTING)
        lines = f"{value}\n".splitlines()
        self.budget.make(len(str(value)) + len(lines) * (len(lead[:MAX_NESTING]) + 1))
        lead = lead[:MAX_NESTING]
        return "\n".join(lead + line if (i or first) and (line or blank) else line for i, line in enumerate(lines))

    def _format(self, pattern: Any, *args: Any, **kwargs: Any) -> str:
        """`"%s" | format(x)`, without widths that are sizes of memory."""
        text = str(pattern)
        if re.search(r"%[^a-zA-Z%]*(\*|\d{4})", text):
            raise SecurityError("a width over 999")
        self.budget.make(
            len(text) + sum(len(str(value)) for value in (*args, *kwargs.values())) * (1 + text.count("%"))
        )
        return text % (kwargs or args)

    def _format_fields(self, pattern: str, *args: Any, **kwargs: Any) -> str:
        """`"{}".format(x)`, the fields by place or name and nothing inside them."""
        fields = list(Formatter().parse(pattern))
        if any(name is not None and not re.fullmatch(r"\w*", name) for _, name, _, _ in fields):
            raise SecurityError("`format` takes whole values only")
        if any(spec and re.search(r"\d{4}|\{", spec) for _, _, spec, _ in fields):
            raise SecurityError("a width over 999")
        values = [str(value) for value in (*args, *kwargs.values())]
        self.budget.make(len(pattern) + max(map(len, values), default=0) * len(fields) + 1000 * len(fields))
        return pattern.format(*args, **kwargs)

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """Plain JSON: Jinja's own filter escapes for HTML, which a model should not see."""
        if indent is not None and indent > 16:
            raise SecurityError("indent over 16")
        text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
        self.budget.make(len(text))
        return text


def _range(*bounds: int) -> range:
    result = range(*bounds)
    if len(result) > MAX_RANGE:
        raise LimitError(f"range over {MAX_RANGE}")
    return result


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


@dataclass(frozen=True)
class Rendered:
    """A rendering, and the character ranges of its `{% generation %}` blocks (none if the template has no such tags)."""

    text: str
    generated: tuple[tuple[int, int], ...] = ()


class CompiledTemplate:
    """A chat template, parsed once; renderings of several threads wait for each other.

    Args:
        text: the template.
        today: what `strftime_now` says; fixed by the caller, since a training set must not depend on the calendar.

    Raises:
        TemplateError: the template is too large or cannot be parsed.
    """

    def __init__(self, text: str, today: date) -> None:
        if len(text) > MAX_TEMPLATE_CHARS:
            raise TemplateError(f"{len(text)} characters long, at most {MAX_TEMPLATE_CHARS}")
        self._lock = threading.Lock()
        self._environment = _Sandbox()
        self._environment.globals["strftime_now"] = _clock(today)
        try:
            tree = self._environment.parse(text)
            if _loop_depth(tree) > MAX_LOOP_DEPTH:
                raise TemplateError(f"loops are nested deeper than {MAX_LOOP_DEPTH}")
            for loop in tree.find_all(nodes.For):
                if loop.recursive:
                    raise TemplateError("recursive loops are not available in a chat template")
                loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
            #: Names that the template reads without making them: what it expects from outside, and a few more.
            self.names = frozenset(name.name for name in tree.find_all(nodes.Name) if name.ctx == "load")
            self.has_generation_tags = any(
                "_mark" in _extension_calls(block) for block in tree.find_all(nodes.CallBlock)
            )
            self._template: Template = self._environment.from_string(tree)
        except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    def render(self, variables: dict[str, Any]) -> Rendered:
        """Renders the template within its limits.

        Raises:
            TemplateError: the template refuses, is wrong, or exceeds a limit.
        """
        with self._lock:
            box = self._environment
            box.begin()
            try:
                for part in self._template.generate(variables):
                    box.num_chars += len(part)
                    if box.num_chars > MAX_OUTPUT_CHARS:
                        raise LimitError(f"renders more than {MAX_OUTPUT_CHARS} characters")
                    box.parts.append(part)
            except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
                raise TemplateError(f"{type(error).__name__}: {error}") from error
            return Rendered("".join(box.parts), tuple(box.generated))


def _extension_calls(block: nodes.CallBlock) -> set[str]:
    return {found.name for found in block.call.find_all(nodes.ExtensionAttribute)}


def _loop_depth(node: nodes.Node) -> int:
    inner = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)


def _clock(today: date) -> Callable[[str], str]:
    def strftime_now(pattern: str) -> str:
        return datetime.combine(today, time()).strftime(pattern[:200])

    return strftime_now
