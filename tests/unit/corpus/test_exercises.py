from sagecraft.corpus.clean import clean
from sagecraft.corpus.exercises import exercises_of
from sagecraft.corpus.readers.cnxml import read_cnxml

TEXT = """# T

**Example 1. A fall.** How far?

In air?

**Strategy.** Think.

**Solution.** Far:

$$x$$

* * *

Prose.

**Exercise 1.** Why?

**Solution.** So.

**Exercise.** And?

## Next

**Solution.** of nothing"""


def test_parts_end_where_the_next_begins():
    first, second, third = exercises_of(TEXT)
    assert (first.label, first.title, first.problem) == ("Example 1", "A fall", "How far?\n\nIn air?")
    assert first.parts == {"strategy": "Think.", "solution": "Far:\n\n$$x$$"}
    assert (second.label, second.title, second.problem, second.parts) == ("Exercise 1", "", "Why?", {"solution": "So."})
    assert (third.label, third.problem, third.parts) == ("Exercise", "And?", {})


def test_every_solution_of_a_textbook_is_found(shared_data):
    """A part of the modules; all of them hold 5,001 exercises, 2,684 solutions and 487 examples."""
    from lxml import etree

    root = shared_data / "openstax-university-physics"
    found = stated = 0
    for path in sorted(root.glob("modules/*/index.cnxml"))[::10]:
        tree = etree.parse(path)
        stated += len(tree.findall(".//{*}solution"))
        exercises = list(exercises_of(clean(read_cnxml(path, root).text)))
        found += sum(bool(item.parts.get("solution")) for item in exercises if item.label.startswith("Exercise"))
        assert len([item for item in exercises if item.label.startswith("Example")]) == len(
            tree.findall(".//{*}example")
        )
    assert found == stated > 200
