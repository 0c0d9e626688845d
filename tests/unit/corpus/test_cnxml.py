from pathlib import Path

import pytest

from sagecraft.corpus.readers.cnxml import read_cnxml, read_collection
from sagecraft.corpus.readers.result import ReaderError

MODULE = """<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML"><title>Orbits</title>
<metadata xmlns:md="http://cnx.rice.edu/mdml"><md:content-id>m1</md:content-id><md:title>Orbits</md:title>{metadata}</metadata>
<content>{content}</content>{glossary}</document>"""


def write(tmp_path, content, glossary="", metadata="", name="m1") -> Path:
    path = tmp_path / "modules" / name / "index.cnxml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MODULE.format(content=content, glossary=glossary, metadata=metadata), encoding="utf-8")
    return path


def blocks(tmp_path, content, glossary=""):
    return read_cnxml(write(tmp_path, content, glossary), tmp_path).text.split("\n\n")


def test_paragraphs_sections_and_inline(tmp_path):
    content = """<para id="a">A <term>planet</term> of <emphasis effect="italics">mass</emphasis> 10<sup>24</sup> kg.</para>
    <section id="s"><title>Laws</title><para>One.<newline/>Two.</para>
    <section><title>First</title><para><title>Note</title>It costs $5.</para></section></section>
    <section class="key-concepts"><para>End.<footnote>A note.</footnote></para></section>"""
    assert blocks(tmp_path, content) == [
        "# Orbits",
        "A **planet** of *mass* 10$^{24}$ kg.",
        "## Laws",
        "One.\nTwo.",
        "### First",
        "**Note.** It costs \\$5.",
        "## Key concepts",
        "End. (A note)",
    ]


def test_mathematics_and_references_to_equations(tmp_path):
    content = """<para>Here <m:math><m:mi>v</m:mi></m:math> by <link target-id="e"/>:
    <equation id="e"><m:math><m:mi>v</m:mi><m:mo>=</m:mo><m:mi>s</m:mi></m:math></equation> and
    <equation id="f"><m:math><m:mi>t</m:mi></m:math></equation></para>"""
    assert blocks(tmp_path, content) == [
        "# Orbits",
        "Here $v$ by Equation 1:",
        r"$$v = s \tag{1}$$",
        "and",
        "$$t$$",
    ]


def test_lists_tables_figures_and_references(tmp_path):
    content = """<para>See <link target-id="t"/>, <link target-id="g"/> and <link url="http://x.y">this page</link>.</para>
    <list list-type="enumerated"><item>one</item><item>two<list><item>deep</item></list></item></list>
    <table id="t"><title>Data</title><tgroup cols="2"><thead><row><entry>a</entry><entry>b</entry></row></thead>
    <tbody><row><entry>1</entry><entry>2</entry></row></tbody></tgroup></table>
    <figure id="g"><title>Moon</title><media alt="a photo"><image src="x.jpg"/></media><caption>The Moon.</caption></figure>
    <figure id="h"><media alt="A drawing of an orbit."><image src="y.jpg"/></media></figure>"""
    assert blocks(tmp_path, content) == [
        "# Orbits",
        "See Table 1, Figure 1 and this page.",
        "1. one\n2. two",
        "   - deep",
        "Table 1. Data.",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "Figure 1. Moon. The Moon. (a photo)",
        "Figure 2. A drawing of an orbit.",
    ]


def test_examples_notes_exercises_with_solutions(tmp_path):
    content = """<example id="x"><para><title>A fall</title>How far?</para><para><title>Solution</title>Far.</para></example>
    <note><title>Careful</title><para>Hot.</para></note>
    <exercise id="q"><problem><para>What is <m:math><m:mi>g</m:mi></m:math>?</para></problem>
    <solution><para>9.8</para></solution></exercise><exercise><problem><para>Why?</para></problem></exercise>"""
    assert blocks(tmp_path, content) == [
        "# Orbits",
        "**Example 1. A fall.** How far?",
        "**Solution.** Far.",
        "* * *",
        "**Careful**",
        "Hot.",
        "**Exercise 1.** What is $g$?",
        "**Solution.** 9.8",
        "**Exercise.** Why?",
    ]


def test_glossary(tmp_path):
    glossary = """<glossary><definition><term>apex</term><meaning>highest point</meaning></definition></glossary>"""
    assert blocks(tmp_path, "<para>x</para>", glossary)[2:] == ["## Glossary", "**apex**: highest point"]


def test_references_to_other_modules_read_as_their_titles(tmp_path):
    write(tmp_path, "<para>x</para>", name="m2")
    content = (
        '<para>In <link document="m2"/>, <link document="../../etc"/> and <link document="m9" target-id="z"/>.</para>'
    )
    assert blocks(tmp_path, content)[1] == "In Orbits, another section and another section."


def test_metadata(tmp_path):
    metadata = '<md:license url="http://creativecommons.org/licenses/by/4.0/">CC</md:license>'
    result = read_cnxml(write(tmp_path, "<para>x</para>", metadata=metadata), tmp_path)
    assert (result.title, result.identifier) == ("Orbits", "m1")
    assert result.license == "http://creativecommons.org/licenses/by/4.0/"


def test_a_collection_states_licence_and_chapters(tmp_path):
    path = tmp_path / "book.collection.xml"
    path.write_text(
        """<col:collection xmlns:col="http://cnx.rice.edu/collxml" xmlns:md="http://cnx.rice.edu/mdml"><metadata>
        <md:title>Book</md:title><md:license url="http://creativecommons.org/licenses/by/4.0/">CC</md:license></metadata>
        <col:content><col:module document="m1"/><col:subcollection><md:title>Light</md:title><col:content>
        <col:module document="m2"/></col:content></col:subcollection></col:content></col:collection>"""
    )
    assert read_collection(path) == {
        "m1": {"categories": ["Book"], "license": "CC-BY-4.0"},
        "m2": {"categories": ["Book", "Light"], "license": "CC-BY-4.0"},
    }


def test_other_xml_is_refused(tmp_path):
    path = tmp_path / "x.cnxml"
    path.write_text("<html/>")
    with pytest.raises(ReaderError, match="not-cnxml"):
        read_cnxml(path, tmp_path)


def test_emphasis_that_begins_again_inside_a_word_is_one(tmp_path):
    assert (
        blocks(tmp_path, '<para>A <term>unit</term><emphasis effect="bold">s</emphasis>.</para>')[1] == "A **units**."
    )
