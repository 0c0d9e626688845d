"""What a stranger's template cannot do: reach Python, or eat the machine."""

from __future__ import annotations

import contextlib
import time

import pytest

from sagecraft.chat.messages import Message
from sagecraft.chat.template import ChatTemplate
from sagecraft.errors import UserError

USER = Message(role="user", content="Hi <b>")
GROW = "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}"
TEXT = "{% set x = 'ab' * 8000000 %}{% for i in range(9999) %}"


def rendered(text: str) -> str:
    return ChatTemplate(text=text, where="model").render([USER], thinking=None, add_generation_prompt=False)


EATERS = {
    "loops in loops": "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
    "a list of itself": GROW + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "a tuple of itself": GROW + "{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ ns.x }}",
    "a mapping of itself": GROW + "{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson }}",
    "dict() of itself": GROW + "{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}",
    "a list twice as long": GROW + "{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "varargs": "{% set ns = namespace(x=['a']) %}{% macro m() %}{% set ns.x = varargs %}{% endmacro %}"
    "{% for i in range(60) %}{{ m(ns.x, ns.x) }}{% endfor %}{{ ns.x }}",
    "kwargs": "{% set ns = namespace(x=['a']) %}{% macro m() %}{% set ns.x = kwargs %}{% endmacro %}"
    "{% for i in range(60) %}{{ m(a=ns.x, b=ns.x) }}{% endfor %}{{ ns.x }}",
    "depth": GROW.replace("60", "9999") + "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "numbers": "{% set ns = namespace(x=99999) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
    "width in a width": "{{ '{:>{}}'.format(1, 1000000000) }}",
    "width of a filter": "{{ '%1000000000d' | format(3) }}",
    "width of an argument": "{{ '%*d' | format(1000000000, 3) }}",
    "width of markup": "{{ ('{:>1000000000}' | safe).format(1) }}",
    "markup joined": "{{ ('a' | safe).join(['b' * 9000000, 'b' * 9000000]) }}",
    "markup replaced": "{{ (('a' * 4000000) | safe).replace('a', 'b' * 1000) }}",
    "pieces": "{% set x = 'a b ' * 4000000 %}{% for i in range(1000) %}{% set y = x.split() %}{% endfor %}",
    "characters": "{{ ('ab' * 8000000) | list | length }}",
    "searches": TEXT + "{% if 'c' in x %}{% endif %}{% endfor %}",
    "comparisons": "{% set x = 'a' * 8000000 %}{% set y = x ~ '' %}{% for i in range(9999) %}{% if x == y %}{% endif %}{% endfor %}",
    "slices": TEXT + "{% set y = x[1:] %}{% endfor %}",
    "counts": TEXT + "{{ x.count('ba') }}{% endfor %}",
    "upper case": TEXT + "{% set y = x | upper %}{% endfor %}",
    "captures": TEXT + "{% set y %}{{ x }}{% endset %}{% endfor %}",
    "title case": "{{ ('ab ' * 5000000) | title }}",
    "filters over ranges": "{% for i in range(9999) %}{{ range(10000) | select('odd') | list | length }}{% endfor %}",
    "sums": "{% for i in range(9999) %}{{ range(10000) | sum }}{% endfor %}",
    "kept lists": "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + [range(10000) | list] %}{% endfor %}",
    "separators": "{{ messages | tojson(separators=('a' * 1000000, 'b' * 16000000)) }}",
    "callers": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}" + "{% call m() %}" * 40 + "x" + "{% endcall %}" * 40,
    "a block in itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "a recursive loop": "{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}",
    "brackets": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "lists": "{{ " + "[" * 20000 + "]" * 20000 + " }}",
    "signs": "{{ " + "-" * 60000 + "1 }}",
    "conditions": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "branches": "{% if 0 %}" + "{% elif 0 %}" * 9000 + "{% endif %}",
    "calls of calls": "{{ messages" + "()" * 60000 + " }}",
    "filters of filters": "{{ 'a'" + "|upper" * 18000 + " }}",
}  # fmt: skip


@pytest.mark.parametrize("name", EATERS)
def test_what_eats_the_machine_ends_as_one_line(name: str) -> None:
    start = time.process_time()
    with pytest.raises(UserError, match=r"^model: the chat template ") as caught:
        rendered(EATERS[name])
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 10


ESCAPES = [
    "{{ ''.__class__ }}", "{{ [].__class__.__base__.__subclasses__() }}", "{{ messages['__class__'] }}",
    "{{ 'a' | attr('__class__') }}", "{{ ('a' | attr('format'))('x').__class__ }}",
    "{{ ['a'] | map(attribute='__class__') | list }}", "{{ ['a'] | map('attr', '__class__') | list }}",
    "{{ raise_exception.__globals__ }}", "{{ strftime_now.__code__ }}", "{{ strftime_now.__closure__ }}",
    "{{ range.__globals__ }}", "{{ dict.mro() }}", "{{ dict.__init__ }}", "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}", "{{ namespace.__init__.__globals__ }}",
    "{{ namespace(x=1)._Namespace__attrs }}", "{% set ns = namespace(__class__=1) %}",
    "{% set ns = namespace() %}{% set ns.__html__ = 1 %}", "{{ '{0.__class__}'.format(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}", "{{ '{0[a]}'.format({'a': 1}) }}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}", "{% for a in [1] %}{{ loop._iterator }}{% endfor %}",
    "{{ (messages | map('upper')).gi_frame }}", "{% import 'os' as os %}{{ os.name }}", "{% extends '/etc/passwd' %}",
    "{% include messages %}", "{% set d = {'a': 1} %}{{ d.update({'b': 2}) }}", "{{ messages.append(1) }}",
    "{{ messages[0].pop('role') }}", "{{ config }}{{ environment.globals }}", "{{ cycler.__init__.__globals__ }}",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES)
def test_nothing_of_python_is_reached(text: str) -> None:
    with contextlib.suppress(UserError):
        assert rendered(text) in ("", "[Undefined]")


def test_what_a_template_says_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        rendered("{{ raise_exception('no\\nsuch\\x1b[31m role' ~ 'x' * 1000) }}")
    assert str(caught.value).startswith("model: the chat template refuses the messages: no such[31m rolex")
    assert len(str(caught.value)) < 400


def test_what_templates_use_still_works() -> None:
    text = (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ loop.index }}{{ loop.last }}"
        "{% endfor %}{{ '%s-%d' | format('a', 3) }} {{ '{}={}'.format('k', 2) }} {{ 'a\\nb\\n' | indent(2, first=true) }}"
        "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %} {{ messages[0].content[:2] }}"
        " {{ 'aXbX'.replace('X', '-', 1) }} {{ [1, 2, 3] | map('string') | join(',') }} {{ 'a,b'.split(',')[-1] }}"
        " {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ 'i' in 'Hi' and 1 < 2 < 3 }}"
        "{% for a in range(3) if a != 1 %}{{ a }}{% else %}none{% endfor %}"
    )
    assert rendered(text) == "1Truea-3 k=2   a\n  b\na2b1 Hi a-bX 1,2,3 b 1 True02"
