"""The mix: budgets of sources, the share of general text, reweighting, and nothing drawn by chance."""

import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.tokens import mix, pack
from sagecraft.tokens.mix import BalanceConfig, Entry, MixConfig, MixSource, choose


def entries(source, sizes, topic="", year="", name=None):
    return [Entry(f"{name or source}/{n}", source, topic, year, size) for n, size in enumerate(sizes)]


def totals(taken):
    counts = Counter()
    for row in taken:
        counts[row.entry.source] += row.num_tokens
    return dict(counts)


def test_without_settings_everything_is_taken_once_and_general_text_gets_its_share():
    domain, general = entries("domain", [100, 30, 70]), entries("general", [40] * 10)
    taken = choose(MixConfig(general_share=0.2), domain, general)
    assert totals(taken) == {"domain": 200, "general": 50}
    assert all(
        row.copies == 1 and row.last_tokens == row.entry.num_tokens for row in taken if row.entry.source == "domain"
    )


def test_a_budget_cuts_the_last_document_and_no_other():
    taken = choose(MixConfig(general_share=0.0, max_tokens=333), entries("domain", [50] * 20), [])
    assert totals(taken) == {"domain": 333}
    assert sorted(row.last_tokens for row in taken) == [33, 50, 50, 50, 50, 50, 50]


def test_passes_tokens_and_weights():
    sources = [
        MixSource(name="book", match="*", epochs=2.5),
        MixSource(name="news", match="*", tokens=300),
        MixSource(name="papers", match="*", weight=3),
        MixSource(name="notes", match="*", weight=1),
    ]
    domain = [
        *entries("book", [10] * 20),
        *entries("news", [10] * 60),
        *entries("papers", [10] * 100),
        *entries("notes", [10] * 100),
        *entries("domain", [10] * 5),
    ]
    config = MixConfig(sources=sources, general_share=0.0)
    taken = choose(config, domain, [])
    assert totals(taken) == {"book": 500, "news": 300, "papers": 1500, "notes": 500, "domain": 50}
    assert {row.copies for row in taken if row.entry.source == "book"} == {2, 3}
    half = choose(config.model_copy(update={"max_tokens": 1850}), domain, [])
    assert totals(half) == {"book": 500, "news": 300, "papers": 750, "notes": 250, "domain": 50}
    assert choose(config, list(reversed(domain)), []) == taken or totals(
        choose(config, list(reversed(domain)), [])
    ) == totals(taken)


def test_a_weight_repeats_a_source_no_more_than_it_may(capsys):
    sources = [MixSource(name="small", match="*", weight=9), MixSource(name="large", match="*", weight=1)]
    domain = [*entries("small", [10] * 10), *entries("large", [10] * 200)]
    taken = choose(MixConfig(sources=sources, general_share=0.0, max_tokens=2000), domain, [])
    assert totals(taken) == {"small": 400, "large": 200}
    assert "passes over it" in capsys.readouterr().err


def test_a_budget_that_leaves_a_source_nothing_says_so(capsys):
    sources = [MixSource(name="book", match="*", epochs=2), MixSource(name="notes", match="*", weight=1)]
    domain = [*entries("book", [10] * 20), *entries("notes", [10] * 20)]
    taken = choose(MixConfig(sources=sources, general_share=0.0, max_tokens=100), domain, [])
    assert totals(taken) == {"book": 100}
    said = " ".join(capsys.readouterr().err.split())
    assert "ask for 400 tokens and mix.max_tokens is 100; each gets 25% of what it asks for, and notes nothing" in said
    choose(MixConfig(sources=sources, general_share=0.0, max_tokens=1000), domain, [])
    assert capsys.readouterr().err == ""


def test_balance_moves_topics_towards_the_target_and_says_by_how_much():
    domain = [*entries("domain", [10] * 80, "suns", name="a"), *entries("domain", [10] * 20, "dust", name="b")]
    balance = BalanceConfig(by="topic", target={"dust": 0.5})
    config = MixConfig(general_share=0.0, balance=balance)
    taken = choose(config, domain, [])
    assert totals(taken) == {"domain": 1000}
    effect = mix._effect(balance, domain, taken)
    assert effect["dust"]["before"] == 0.2
    assert effect["dust"]["after"] == pytest.approx(0.5, abs=0.02)
    assert effect["dust"]["asked"] == 0.5
    capped = BalanceConfig(by="topic", target={"dust": 0.9}, max_copies=2.0)
    taken = choose(config.model_copy(update={"balance": capped}), domain, [])
    shares = mix._effect(capped, domain, taken)
    assert shares["dust"]["after"] == 0.4  # twice as often as without the target, and no more
    assert max(row.copies for row in taken) == 2
    assert totals(taken) == {"domain": 1000}
    with pytest.raises(UserError, match=r"mix\.balance\.target: 'gas' is the topic of no document; there are suns"):
        choose(config.model_copy(update={"balance": BalanceConfig(by="topic", target={"gas": 0.5})}), domain, [])


def test_no_document_comes_up_twice_before_every_other_came_up_once():
    domain = entries("domain", [10] * 20 + [200])
    taken = choose(MixConfig(general_share=0.0, max_tokens=200), domain, [])
    assert totals(taken) == {"domain": 200}
    assert {row.copies for row in taken} == {1}


def test_a_target_of_nothing_takes_nothing_and_what_cannot_be_met_is_said(capsys):
    domain = [*entries("domain", [10] * 80, "suns", name="a"), *entries("domain", [10] * 20, "dust", name="b")]
    balance = BalanceConfig(by="topic", target={"suns": 0.0}, max_copies=3.0)
    taken = choose(MixConfig(general_share=0.0, balance=balance), domain, [])
    assert {row.entry.topic for row in taken} == {"dust"}
    assert totals(taken) == {"domain": 600}
    assert "600 of 1,000 tokens" in capsys.readouterr().err
    assert mix._stats(MixConfig(balance=balance), domain, taken)["balance"]["suns"]["after"] == 0.0


def test_sources_that_fill_the_budget_leave_weights_nothing():
    sources = [MixSource(name="book", match="*", tokens=500), MixSource(name="web", match="*", weight=1)]
    domain = [*entries("book", [10] * 100), *entries("web", [10] * 100)]
    taken = choose(MixConfig(sources=sources, general_share=0.0, max_tokens=300), domain, [])
    assert totals(taken) == {"book": 300}


@given(
    sizes=st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=12), min_size=1, max_size=4),
    demand=st.lists(
        st.sampled_from([("epochs", 0.3), ("epochs", 2.5), ("tokens", 77), ("weight", 2.0)]), min_size=4, max_size=4
    ),
    max_tokens=st.none() | st.integers(1, 3000),
    years=st.none() | st.lists(st.floats(0, 0.5), min_size=2, max_size=2),
    max_copies=st.floats(1, 4),
    seed=st.integers(0, 5),
)
def test_whatever_is_asked_for_budgets_are_met_and_limits_are_kept(sizes, demand, max_tokens, years, max_copies, seed):
    domain = [
        Entry(f"s{n}/{m}", f"s{n}", "", str(2000 + m % 3), size)
        for n, members in enumerate(sizes)
        for m, size in enumerate(members)
    ]
    known = {entry.year for entry in domain}
    target = {str(2000 + n): share for n, share in enumerate(years or []) if str(2000 + n) in known}
    balance = BalanceConfig(by="year", target=target, max_copies=max_copies) if years is not None else None
    sources = [
        MixSource(name=f"s{n}", match="*", **{key: value}) for n, (key, value) in enumerate(demand[: len(sizes)])
    ]
    config = MixConfig(sources=sources, general_share=0.2, max_tokens=max_tokens, balance=balance, seed=seed)
    general = entries("general", [50] * 40)
    taken = choose(config, domain, general)
    assert taken == choose(config, list(reversed(domain)), general)
    budgets, found = mix._budgets(config, domain), totals(taken)
    assert max_tokens is None or sum(budgets.values()) <= max_tokens
    for row in taken:
        assert row.copies >= 1
        assert 1 <= row.last_tokens <= row.entry.num_tokens
        assert row.entry.source == "general" or target.get(row.entry.year) != 0.0
    for name, budget in budgets.items():
        members = [entry for entry in domain if entry.source == name]
        size = sum(entry.num_tokens for entry in members)
        assert found.get(name, 0) <= budget
        if balance is None:
            assert found.get(name, 0) >= min(budget, size) - 1 or budget - found.get(name, 0) <= 1
            copies = {entry.id: 0 for entry in members} | {
                r.entry.id: r.copies for r in taken if r.entry.source == name
            }
            assert max(copies.values()) - min(copies.values()) <= 1
        else:
            rows = [row for row in taken if row.entry.source == name]
            assert all(row.copies <= math.ceil(max_copies * budget / size + 1e-6) + 1 for row in rows)
    field = sum(tokens for name, tokens in found.items() if name != "general")
    assert abs(found.get("general", 0) - min(2000, 0.25 * field)) <= 2


def test_years_to_all_alike():
    domain = [
        *entries("domain", [10] * 60, year="2020", name="a"),
        *entries("domain", [10] * 30, year="2021", name="b"),
    ]
    balance = BalanceConfig(by="year")
    effect = mix._effect(balance, domain, choose(MixConfig(general_share=0.0, balance=balance), domain, []))
    assert effect["2020"]["after"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"sources": [{"name": "a", "match": "*", "epochs": 1, "weight": 2}]}, "state one"),
        ({"sources": [{"name": "a", "match": "*"}]}, "none of epochs"),
        ({"sources": [{"name": "general", "match": "*", "epochs": 1}]}, "'general' is taken; choose another"),
        ({"sources": [{"name": "domain", "match": "*", "epochs": 1}]}, "'domain' is taken; choose another"),
        ({"balance": {"by": "topic", "target": {"a": 0.7, "b": 0.7}}}, "at most 1"),
    ],
)
def test_settings_that_make_no_sense(settings, fault):
    with pytest.raises(ValidationError, match=fault):
        MixConfig.model_validate(settings)


def test_from_documents_to_rows(tmp_path, pico):
    texts = [f"A star of number {n} shines because hydrogen fuses into helium." for n in range(12)]
    documents = [
        Document(id=f"d{n}", text=text, source=f"lit/{'book' if n < 4 else 'web'}/{n}.md", categories=["x"])
        for n, text in enumerate(texts)
    ]
    write_documents(tmp_path / "docs", documents)
    write_documents(tmp_path / "general", [Document(id="g", text=" ".join(texts))])
    inputs = {"documents": tmp_path / "docs", "general": tmp_path / "general", "model": pico}
    sources = [MixSource(name="book", match="lit/book/*", epochs=2)]
    made = mix.run(MixConfig(sources=sources, general_share=0.1), inputs, tmp_path / "mix")
    assert made.stats["sources"]["book"]["epochs"] == 2.0
    assert made.stats["general_share"] == pytest.approx(0.1, abs=0.01)
    assert "The mix" in (tmp_path / "mix/report.html").read_text()
    packed = pack.run(pack.PackConfig(sequence_length=64), inputs | {"mixture": tmp_path / "mix"}, tmp_path / "pack")
    assert packed.stats["tokens_by_source"]["book"] == made.stats["sources"]["book"]["num_tokens"]
    rows = [json.loads(line) for line in (tmp_path / "pack/items.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows if row["lineage"] == ["d0"]] == ["d0", "d0~2"]
    assert sum(row["num_tokens"] for row in rows) == made.stats["num_tokens"]
    missing = MixConfig(sources=[MixSource(name="book", match="nothing/*", epochs=2)], general_share=0.0)
    with pytest.raises(UserError, match=r"mix\.sources: book: 'nothing/\*' matches no document"):
        mix.run(missing, inputs, tmp_path / "other")
