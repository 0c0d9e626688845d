"""arXiv's metadata by OAI-PMH 2.0 (openarchives.org/OAI/openarchivesprotocol.html).

The list is taken in windows of dates, so that a resumption token that the server has forgotten costs one window. What
has arrived stays: records are known by their identifier, and the newest of each is the one that counts.
"""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import console
from sagecraft.corpus.licenses import ARXIV_UNSTATED, normalize_license
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.xml import parse_xml_bytes
from sagecraft.corpus.sources.arxiv_ids import MONTH, month_of, normalise_id
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Address, PassingError, PoliteClient, Reply
from sagecraft.corpus.sources.items import ItemError, number_of

ARXIV_OAI = "https://oaipmh.arxiv.org/oai"
NAME = "arxiv"
_MAX_RESTARTS = 5
#: A window has at most some hundred thousand records; a server that goes on for longer goes in a circle.
_MAX_PAGES = 100_000
_AND = re.compile(r",\s*(?:and\s+)?|\s+and\s+")
_BRACKETS = re.compile(r"\([^()]*\)")


class ArxivConfig(BaseModel):
    """Metadata of arXiv by OAI-PMH; records are CC0. Terms of use: one request every three seconds, one at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_url: Address = Field(default=ARXIV_OAI, description="address of the OAI-PMH service")
    sets: list[str] = Field(
        default=[], description="sets such as `math` or `physics:hep-th`, each listed in turn; all of arXiv by default"
    )
    from_: datetime.date | None = Field(
        default=None,
        alias="from",
        description="first day of last change (not of submission), YYYY-MM-DD; the service's first day by default",
    )
    until: datetime.date | None = Field(
        default=None, description="last day of last change; by default the day on which the harvest began"
    )
    categories: list[str] = Field(
        default=[],
        description="keep records with a category that matches one of these patterns (`math.*`); all by default",
    )
    submitted_from: str | None = Field(
        default=None,
        pattern=MONTH,
        description="keep papers submitted in this month (YYYY-MM) or later, by their identifier",
    )
    submitted_until: str | None = Field(
        default=None, pattern=MONTH, description="keep papers submitted in this month (YYYY-MM) or earlier"
    )
    metadata_format: Literal["arXiv", "arXivRaw"] = Field(
        default="arXiv", description="arXiv has names of authors in parts, arXivRaw the number of the newest version"
    )
    window_days: int = Field(
        default=31, ge=1, description="days listed at once; a forgotten resumption token costs as much", exclude=True
    )
    min_interval_seconds: float = Field(
        default=3.0, ge=0.0, description="between two requests; arXiv's terms ask for 3", exclude=True
    )

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if self.from_ and self.until and self.from_ > self.until:
            raise ValueError(f"from ({self.from_}) is after until ({self.until})")
        if not (self.submitted_from or "0") <= (self.submitted_until or "9"):
            raise ValueError(
                f"submitted_from ({self.submitted_from}) is after submitted_until ({self.submitted_until})"
            )
        return self


@dataclass(frozen=True)
class Record:
    """One record: its arXiv identifier, datestamp, whether it was deleted, and its metadata if it was not."""

    identifier: str
    datestamp: str
    deleted: bool
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """One page of a list; `token` gives the next one, `list_size` is what the server says the whole list has."""

    records: list[Record]
    token: str | None
    list_size: int | None


class TokenForgottenError(Exception):
    """The server does not know a resumption token any more."""


class OaiClient:
    """The verbs of the protocol that a harvest needs."""

    def __init__(self, client: PoliteClient, base_url: str) -> None:
        self._client, self._base = client, base_url

    def earliest(self) -> datetime.date:
        """First datestamp of the service."""
        root = self._ask({"verb": "Identify"})
        stated = _text(root, "earliestDatestamp") or ""
        try:
            return datetime.date.fromisoformat(stated[:10])
        except ValueError:
            raise ItemError("bad-identify", f"earliestDatestamp is {stated!r:.40}; set arxiv.from") from None

    def first_page(self, prefix: str, set_spec: str, start: datetime.date, end: datetime.date) -> Page:
        """The first page of the records of a set that changed from `start` to `end`."""
        params = {"verb": "ListRecords", "metadataPrefix": prefix, "from": start.isoformat(), "until": end.isoformat()}
        return self._page(params | ({"set": set_spec} if set_spec else {}))

    def next_page(self, token: str) -> Page:
        """The page of a resumption token.

        Raises:
            TokenForgottenError: the server does not know it any more.
        """
        return self._page({"verb": "ListRecords", "resumptionToken": token})

    def record(self, identifier: str, prefix: str) -> Record | None:
        """One record by its arXiv identifier; None if there is none."""
        params = {"verb": "GetRecord", "metadataPrefix": prefix, "identifier": f"oai:arXiv.org:{identifier}"}
        root = self._ask(params)
        if _error(root)[0] == "idDoesNotExist":
            return None
        _refuse(root)
        return next((record for record in _records(root) if record.identifier == identifier), None)

    def _page(self, params: dict[str, str]) -> Page:
        root = self._ask(params)
        code, _ = _error(root)
        if code == "noRecordsMatch":
            return Page([], None, 0)
        if code == "badResumptionToken":
            raise TokenForgottenError
        _refuse(root)
        token = next((node for node in root.iter() if local_name(node) == "resumptiontoken"), None)
        text = (token.text or "").strip() if token is not None else ""
        size = token.get("completeListSize", "") if token is not None else ""
        return Page(list(_records(root)), text or None, number_of(size))

    def _ask(self, params: dict[str, str]) -> Any:
        return self._client.page(self._base, params, _read_oai)


def _read_oai(reply: Reply) -> Any:
    try:
        root = parse_xml_bytes(reply.body)
    except ReaderError as error:
        raise PassingError("not-oai", f"{error} ({_begin(reply.body)})") from error
    if local_name(root) != "oai-pmh":
        raise PassingError("not-oai", f"the page is <{local_name(root)}>")
    return root


def _begin(body: bytes) -> str:
    return " ".join(body[:60].decode("utf-8", "replace").split()) or "an empty page"


def _error(root: Any) -> tuple[str | None, str]:
    for node in root:
        if local_name(node) == "error":
            return node.get("code", "unknown"), " ".join((node.text or "").split())
    return None, ""


def _refuse(root: Any) -> None:
    code, text = _error(root)
    if code is not None:
        raise ItemError(f"oai-{code}", text[:200])


def _text(node: Any, name: str) -> str | None:
    """Text of the first descendant of a name, whatever its namespace."""
    found = next((child for child in node.iter() if local_name(child) == name.lower()), None)
    return (" ".join("".join(found.itertext()).split()) or None) if found is not None else None


def _records(root: Any) -> Iterator[Record]:
    for node in [node for node in root.iter() if local_name(node) == "record"]:
        header = next((child for child in node if local_name(child) == "header"), None)
        if header is None:
            continue
        identifier = normalise_id(_text(header, "identifier") or "")
        if identifier is None:
            continue
        stamp = (_text(header, "datestamp") or "")[:10]
        body = next((child for child in node if local_name(child) == "metadata"), None)
        deleted = header.get("status") == "deleted" or body is None
        yield Record(identifier, stamp, deleted, {} if deleted else _metadata(identifier, body))


def _metadata(identifier: str, node: Any) -> dict[str, Any]:
    """What a record says, the same from both formats."""
    license_url = _text(node, "license")
    values: dict[str, Any] = {
        "id": identifier,
        "title": _text(node, "title") or "",
        "authors": _authors(node),
        "year": int(month_of(identifier)[:4]),
        "categories": (_text(node, "categories") or "").split(),
        "license": normalize_license(license_url) if license_url else ARXIV_UNSTATED,
        "abstract": _text(node, "abstract") or "",
        "version": _newest_version(node),
        "doi": _text(node, "doi"),
        "journal": _text(node, "journal-ref"),
        "comments": _text(node, "comments"),
    }
    return {key: value for key, value in values.items() if value is not None}


def _authors(node: Any) -> list[str]:
    people = [child for child in node.iter() if local_name(child) == "author"]
    if people:
        parts = ((_text(person, name) for name in ("forenames", "keyname", "suffix")) for person in people)
        return [name for name in (" ".join(filter(None, three)) for three in parts) if name]
    written = _text(node, "authors") or ""
    while written != (bare := _BRACKETS.sub("", written)):  # affiliations stand in brackets, and brackets in those
        written = bare
    return [name for part in _AND.split(written) if (name := " ".join(part.split()))]


def _newest_version(node: Any) -> int | None:
    stated = [child.get("version", "") for child in node.iter() if local_name(child) == "version"]
    numbers = [number_of(text[1:]) for text in stated if text[:1] == "v"]
    return max((number for number in numbers if number is not None), default=None)


def list_records(config: ArxivConfig, context: Context) -> None:
    """Brings the records of all sets and windows into the state, page by page.

    Raises:
        ItemError: the service cannot be listed to the end.
    """
    oai = OaiClient(context.client([config.base_url], config.min_interval_seconds), config.base_url)
    state = context.state
    today = datetime.datetime.fromtimestamp(context.clock.now(), datetime.UTC).date()
    until = config.until or datetime.date.fromisoformat(state.once(f"{NAME}:until", today.isoformat))
    start = config.from_ or datetime.date.fromisoformat(state.once(f"{NAME}:from", lambda: oai.earliest().isoformat()))
    with console.progress("records") as tick:
        tick.start_at(state.num_records())
        for set_spec in config.sets or [""]:
            for first, last in _windows(start, until, config.window_days):
                for count in _list_window(oai, config, context, set_spec, first, last):
                    tick.advance(count, detail=f"{set_spec or 'all'} {first}")


def _windows(start: datetime.date, until: datetime.date, days: int) -> Iterator[tuple[datetime.date, datetime.date]]:
    while start <= until:
        end = min(start + datetime.timedelta(days=days - 1), until)
        yield start, end
        start = end + datetime.timedelta(days=1)


def _list_window(
    oai: OaiClient,
    config: ArxivConfig,
    context: Context,
    set_spec: str,
    first: datetime.date,
    last: datetime.date,
) -> Iterator[int]:
    """Lists one window from where an earlier run stopped; gives the number of records of each page."""
    name = f"{NAME}:window:{set_spec}:{first}:{last}"
    cursor = context.state.noted(name) or {"token": None, "pages": 0, "restarts": 0, "done": False}
    while not cursor["done"]:
        token = cursor["token"]
        try:
            page = oai.next_page(token) if token else oai.first_page(config.metadata_format, set_spec, first, last)
        except TokenForgottenError:
            cursor |= {"token": None, "pages": 0, "restarts": cursor["restarts"] + 1}
            if cursor["restarts"] > _MAX_RESTARTS:
                detail = f"{set_spec or 'all'} from {first}: forgotten {_MAX_RESTARTS} times; lower arxiv.window_days"
                raise ItemError("token-forgotten", detail) from None
            context.state.note(name, cursor)
            console.say(f"  the server forgot its resumption token; listing {first} to {last} again", style="dim")
            continue
        if page.token is not None and (page.token == token or cursor["pages"] >= _MAX_PAGES):
            raise ItemError("token-loop", f"{set_spec or 'all'} from {first}: the list does not end")
        cursor |= {"token": page.token, "pages": cursor["pages"] + 1, "done": page.token is None}
        wanted = [record for record in page.records if record.deleted or _is_wanted(record, config)]
        with context.state.together():
            context.state.put_records((r.identifier, r.datestamp, r.deleted, r.metadata) for r in wanted)
            context.state.note(name, cursor)
        yield len(wanted)


def _is_wanted(record: Record, config: ArxivConfig) -> bool:
    month, categories, patterns = month_of(record.identifier), record.metadata["categories"], config.categories
    if not (config.submitted_from or "0") <= month <= (config.submitted_until or "9"):
        return False
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for name in categories for pattern in patterns)
