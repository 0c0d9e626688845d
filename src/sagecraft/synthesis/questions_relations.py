"""Rules for what acts on what, when things happened, where they are and what follows from what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate, Clause
from sagecraft.synthesis.shapes import DATE, clean_tail, invert, subject_of, verb_phrase

_VERBS = [
    "absorb",
    "act_as",
    "affect",
    "block",
    "capture",
    "carry",
    "comprise",
    "connect",
    "consist_of",
    "consume",
    "contain",
    "contribute",
    "contribute_to",
    "convert",
    "cover",
    "create",
    "cross",
    "define",
    "deflect",
    "depend_on",
    "destroy",
    "detect",
    "determine",
    "dominate",
    "drive",
    "eject",
    "emit",
    "enable",
    "encircle",
    "enhance",
    "erase",
    "erode",
    "exceed",
    "excite",
    "explain",
    "favour",
    "feed",
    "fill",
    "form",
    "generate",
    "govern",
    "heat",
    "include",
    "increase",
    "indicate",
    "induce",
    "influence",
    "involve",
    "ionise",
    "ionize",
    "lack",
    "lead_to",
    "limit",
    "link",
    "lose",
    "mark",
    "measure",
    "mimic",
    "obey",
    "occupy",
    "oppose",
    "permit",
    "polarise",
    "polarize",
    "power",
    "predict",
    "preserve",
    "prevent",
    "probe",
    "produce",
    "provide",
    "receive",
    "reduce",
    "reflect",
    "release",
    "rely_on",
    "remove",
    "replace",
    "represent",
    "require",
    "resemble",
    "respond_to",
    "retain",
    "reveal",
    "separate",
    "serve_as",
    "store",
    "stretch",
    "supply",
    "support",
    "suppress",
    "surround",
    "sustain",
    "test",
    "trace",
    "transform",
    "transport",
    "trap",
    "trigger",
    "undergo",
    "vaporize",
    "weaken",
    "widen",
    "yield",
]
_BASE_OF = {base: base for base in (verb.split("_")[0] for verb in _VERBS)}
_FORMS = {form: base for form, base in english.THIRD.items() if base in _BASE_OF} | _BASE_OF
_RELATION = re.compile(
    rf"^(.{{3,90}}?) ({'|'.join(sorted(_FORMS, key=len, reverse=True))}) (?:(mainly|mostly|chiefly|largely|strongly|weakly) )?((on|of|to|as) )?(.+)$"
)
_NO_OBJECT = re.compile(
    r"^(?:(?:each other|one another|us|about|some|roughly|only|more|less|up|nearly|almost|one|two|three|four|five|six|seven|eight|nine|ten|that|which|"
    r"later|earlier|sooner|longer|first|last|early|late|again|from|with|in|at|by|for|when|as|because|and|or|over|through|near|toward|towards|faster|slowly|much|well|further|between|within|"
    r"into|under|until|after|before|place|part|to|on|of|out|off|away|up|down|themselves|itself|[a-z]+ly)\b|\d|\ue000)"
)


def relation(clause: Clause) -> Iterator[Candidate]:
    """“X depends on Y” → “What does X depend on?”; “X implies that …” → “What does X imply?”."""
    found = _RELATION.match(clause.text)
    if found:
        form, adverb, particle, rest = found.group(2), found.group(3), found.group(5), found.group(6)
        base = _FORMS[form]
        whole = f"{base}_{particle}" if particle else base
        subject = subject_of(clause, found.group(1))
        agrees = subject is not None and (form == base) == english.is_plural(subject)
        is_noun = form == base and form in english.NOUN_LIKE - {"form", "support", "increase", "measure", "cause"}
        if (
            whole in _VERBS
            and agrees
            and not is_noun
            and not _is_verb(rest.split()[0])
            and not _is_vague(found.group(1))
            and not _NO_OBJECT.match(rest)
            and len(rest.split()) >= 2
        ):
            do = "do" if form == base else "does"
            tail = f" {particle}" if particle else ""
            before = f"{adverb} " if adverb else ""
            yield Candidate(
                "relation", f"What {do} {subject} {before}{base}{tail}?", f"what {subject} {before}{form}{tail}", clause.statement,
                clean_tail(rest),
            )  # fmt: skip
            return
    found = re.match(
        r"^(.{3,90}?) (implies|imply|shows?|indicates?|suggests?|reveals?|means?|demonstrates?|showed|indicated|suggested|revealed|"
        r"demonstrated|confirmed|implied) that (.+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))) and not _is_vague(found.group(1)):
        verb = found.group(2)
        base = english.THIRD.get(verb) or english.PAST.get(verb) or verb
        do = "does" if verb in english.THIRD else "did" if verb in english.PAST else "do"
        yield Candidate(
            "relation",
            f"What {do} {subject} {base}?",
            f"what {subject} {verb}",
            clause.statement,
            f"that {found.group(3)}",
        )


def _is_verb(word: str) -> bool:
    """Whether it is a verb and nothing else: what stands before it is then the noun ("robustness tests reveal")."""
    forms = english.AUXILIARIES.split("|"), english.BASES, english.THIRD.keys()
    return (
        word not in english.NOUN_LIKE
        and any(word in of for of in forms)
        and english.THIRD.get(word) not in english.NOUN_LIKE
    )


def _is_vague(subject: str) -> bool:
    """“Observations show that …”: which ones is not said; and people are the business of another rule."""
    head = subject.split(" of ")[0].split()[-1].lower()
    if len(subject.split()) == 1 and subject.lower().endswith("s") and english.is_plural(subject.lower()):
        return True
    is_bare = " of " not in subject and len(subject.split()) <= 3
    return _is_person(subject) or (is_bare and head in english.POINTING_NOUNS)


def _is_person(text: str) -> bool:
    return bool(re.match(r"^[A-Z][\w.-]+(?: [A-Z][\w.-]+)+(?: and [A-Z].*)?$", text))


def agent(clause: Clause) -> Iterator[Candidate]:
    """“X limits Y” → “What limits Y?”."""
    third = "causes|drives|limits|explains|determines|controls|prevents|suppresses|powers|dominates|erases|destroys|halts|" \
            "triggers|governs|fixes|restores|removes|breaks|distorts|broadens|polarizes|counteracts|opposes|supplies|heats|cools"  # fmt: skip
    found = re.match(rf"^(.{{3,90}}?) ({third}) (.+)$", clause.text)
    if not found or subject_of(clause, found.group(1)) is None or english.is_plural(found.group(1)):
        return
    target = clean_tail(found.group(3))
    if english.is_noun_phrase(target, 10) and len(target.split()) >= 2 and not re.search(r"\d", target):
        yield Candidate(
            "relation", f"What {found.group(2)} {target}?", f"what {found.group(2)} {target}", clause.statement,
            found.group(1),
        )  # fmt: skip


_PAST_EVENT = re.compile(
    rf"^(.{{3,70}}?) ({'|'.join(sorted(english.PAST, key=len, reverse=True))})((?: [\w-]+){{0,6}}?) ((?:in|on|until) {DATE})\b(.*)$"
)


def happened(clause: Clause) -> Iterator[Candidate]:
    """“X was launched on 5 August 2011” → “When was X launched?”; “The run began in 2002” → “When did the run begin?”."""
    found = re.match(
        rf"^(.{{2,80}}?) (was|were) (?:(first|finally|officially|already) )?(\w+)((?: [\w-]+){{0,9}}?),? ((?:in|on) (?:the )?{DATE})\b(.*)$",
        clause.text,
    )
    if found:
        subject, verb, adverb, participle, middle, date = (
            subject_of(clause, found.group(1)),
            *found.group(2, 3, 4, 5, 6),
        )
        if (
            subject
            and participle in english.PARTICIPLES
            and not re.search(r"\b(?:and|but|or|that|which|who)\b", middle)
        ):
            plain = " ".join(part for part in (adverb, participle) if part)
            middle = re.sub(r" (?:by|in|on|at|with|from|for|to|as)$", "", middle)
            middle = "" if re.match(r"^ by\b", middle) else middle
            yield Candidate(
                "event",
                f"When {verb} {subject} {plain}{middle}?",
                f"when {subject} {verb} {plain}{middle}",
                clause.statement,
                _bare(date),
            )
        return
    found = re.match(
        rf"^([^,]{{2,70}}), (?:(?:which|who) was |which were )?(launched|discovered|founded|built|found|completed|opened|detected|published|announced|first \w+ed|identified|commissioned|recognised|recognized|proposed|introduced|installed)((?: by [^,]{{3,50}}?)?) ((?:in|on) {DATE})[ ,]",
        clause.text + " ",
    )
    if found and (subject := subject_of(clause, found.group(1))):
        verb = "were" if english.is_plural(subject) else "was"
        statement = f"{found.group(1)} {verb} {found.group(2)}{found.group(3)} {found.group(4)}."
        yield Candidate(
            "event",
            f"When {verb} {subject} {found.group(2)}?",
            f"when {subject} {verb} {found.group(2)}",
            statement,
            _bare(found.group(4)),
        )
        return
    yield from _befell(clause)


def _befell(clause: Clause) -> Iterator[Candidate]:
    """“The run began in 2002” → “When did the run begin?”."""
    found = _PAST_EVENT.match(clause.text)
    if not found or found.group(2) in ("followed", "came", "used", "had") or _is_person(found.group(1)):
        return
    subject, middle, following = subject_of(clause, found.group(1)), found.group(3), found.group(5).split()
    is_reduced = bool(following) and is_finite(following[0])  # "The ferry built in 1926 carried …"
    if subject is None or not verb_phrase(middle) or is_reduced or found.group(5).startswith((" to ", "–", "-")):
        return
    asked = "Until when" if found.group(4).startswith("until") else "When"
    yield Candidate(
        "event",
        f"{asked} did {subject} {english.PAST[found.group(2)]}{middle}?",
        f"{asked.lower()} {subject} {found.group(2)}{middle}",
        clause.statement,
        _bare(found.group(4)),
    )


def _bare(date: str) -> str:
    """“in 1926” → “1926”: a thought says “the date is …”."""
    return re.sub(r"^(?:in|on) (?:the )?", "", date)


def place(clause: Clause) -> Iterator[Candidate]:
    """“X lies in Y” → “Where does X lie?”; “X is found in Y” → “Where is X found?”."""
    found = re.match(
        r"^(.{3,80}?) (lies?|stands?|occurs?|sits?|resides?|originates?|lay|stood|occurred) ((?:(?:just|only|mostly|mainly|about) )?"
        r"(?:in|at|on|near|within|between|above|below|around|outside|inside|beyond|behind|along) .+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))):
        verb, where = found.group(2), clean_tail(found.group(3))
        base = english.THIRD.get(verb) or english.PAST.get(verb) or verb
        do = "does" if verb in english.THIRD else "did" if verb in english.PAST else "do"
        if not re.match(r"^(?:just |only |mostly |mainly |about )?\w+ (?:the|an?|[A-Z]\w+|[a-z-]+s)\b", where):
            return
        if re.match(rf"^(?:in|on) {DATE}$|^at (?:about )?(?:\d|\ue000)", where) or (do == "do") != english.is_plural(
            subject
        ):
            return
        yield Candidate("place", f"Where {do} {subject} {base}?", f"where {subject} {verb}", clause.statement, where)
        return
    found = re.match(
        r"^(.{3,80}?) (is|are|was|were) (located|situated|concentrated|confined|produced|formed|built|installed|found|stored|housed|mounted|trapped|embedded|hidden|buried|distributed|kept|placed) ((?:in|at|on|near|within|between|above|below|around|outside|inside|beyond|to) .+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))):
        verb, participle, where = found.group(2), found.group(3), clean_tail(found.group(4))
        if re.search(rf"\b{DATE}\b", where) or not re.match(
            r"^(?:just |mainly |mostly )?\w+ (?:the|an?|[A-Z]\w+|[a-z-]+s)\b", where
        ):
            return
        yield Candidate(
            "place",
            f"Where {verb} {subject} {participle}?",
            f"where {subject} {verb} {participle}",
            clause.statement,
            where,
        )


def consequence(clause: Clause) -> Iterator[Candidate]:
    """“When X cools, Y follows” → “What happens when X cools?”."""
    found = re.match(r"^(When|If|Once|As long as|As) ([^,:;]{8,110}), (?:then )?([^:;]{8,})$", clause.text)
    if not found or "$$" in clause.text:
        return
    condition, result = found.group(2), found.group(3)
    if re.match(
        r"(?:often|usually|always|expected|before|ever|a|an|the (?:example|case|name))\b(?! \w+ \w+)", condition
    ):
        return  # "As often happens, …"
    if found.group(1) == "As" and re.search(
        r"\b(?:shows?|showed|shown|explains?|explained|describes?|described|noted|says|said|seen|learned)$", condition
    ):
        return  # a reference, no condition
    inverted = invert(clause, condition)
    is_broken = re.match(r"^\w+(?:ing|ed)\b", condition) or re.match(
        r"^(?:and|or|but|which|explain|find|calculate|describe|suppose|imagine|consider|what|how|why|use|estimate|compare|determine)\b",
        result,
    )
    if inverted is None or is_broken or re.search(r"\b(?:that|which|who)\b", condition):
        return
    is_past = inverted[0].split()[0] in ("did", "was", "were", "had")
    kind = "consequence"
    if found.group(1) == "If" and re.search(r"\b(?:would|could|should|might)\b", result):
        kind, happens = "what-if", "would happen"
    else:
        happens = "happened" if is_past else "happens"
    linked = f"{found.group(1).lower()} {inverted[1]}"
    yield Candidate(kind, f"What {happens} {linked}?", f"what {happens} {linked}", clause.statement, result)


def is_finite(word: str) -> bool:
    """Whether a word can be a finite verb."""
    return (
        word in english.AUXILIARIES.split("|") or word in english.THIRD or word in english.PAST or word in english.BASES
    )
