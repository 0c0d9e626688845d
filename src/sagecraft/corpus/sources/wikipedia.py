"""Pages of a MediaWiki by category, as HTML, each at the revision that the listing named (mediawiki.org/wiki/API)."""

from __future__ import annotations

import fnmatch
import html
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft import artifact, console
from sagecraft.corpus.documents import UNKNOWN_LICENSE
from sagecraft.corpus.licenses import may_republish, normalize_license
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Address, PassingError, Reply
from sagecraft.corpus.sources.items import ItemError, Result, number_of, safe_path

NAME = "wikipedia"
_PAGES, _CATEGORIES = 0, 14
#: Errors of the API that pass (mediawiki.org/wiki/API:Errors_and_warnings).
_PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error")
_GONE = frozenset({"nosuchrevid", "missingtitle", "nosuchpageid", "permissiondenied", "missingcontent"})


class WikipediaConfig(BaseModel):
    """Pages of a wiki by category, as HTML.

    Wikimedia asks for one request at a time and a contact in the User-Agent; its text is CC BY-SA and must be credited.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    api_url: Address = Field(default="https://en.wikipedia.org/w/api.php", description="address of the wiki's API")
    categories: list[str] = Field(min_length=1, description="names of categories, without `Category:`")
    depth: int = Field(
        default=1,
        ge=0,
        le=10,
        description="how far down subcategories are followed; 0 takes the pages of the categories themselves. Below 3 "
        "the tree of Wikipedia leaves any subject.",
    )
    exclude: list[str] = Field(
        default=[], description="patterns of titles of pages and categories that are left out (`List of *`)"
    )
    max_pages: int | None = Field(default=None, ge=1, description="at most this many pages; no limit by default")
    min_interval_seconds: float = Field(default=1.0, ge=0.0, description="between two requests", exclude=True)


class _Answer(BaseModel):
    """Parts of the API's answers that are read; a stranger's server may leave out any of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Error(_Answer):
    code: str = "unknown"
    info: str = ""


class _Listed(_Answer):
    ns: int = _PAGES
    title: str
    pageid: int | None = None
    lastrevid: int | None = None
    redirect: bool = False


class _General(_Answer):
    sitename: str = ""
    lang: str = "en"
    server: str = ""
    articlepath: str = "/wiki/$1"


class _Rights(_Answer):
    url: str = ""
    text: str = ""


class _Query(_Answer):
    pages: list[_Listed] = []
    general: _General = _General()
    rightsinfo: _Rights = _Rights()


class _NamedCategory(_Answer):
    category: str
    hidden: bool = False


class _Parsed(_Answer):
    text: str = ""
    revid: int = 0
    categories: list[_NamedCategory] = []


class _Reply(_Answer):
    error: _Error | None = None
    query: _Query = _Query()
    parse: _Parsed = _Parsed()
    onward: dict[str, str | int] | None = Field(default=None, alias="continue")


class Wikipedia:
    """Listing by category, then page by page."""

    def __init__(self, config: WikipediaConfig, context: Context, number: int) -> None:
        """Prepares; nothing is sent yet. `number` tells several wikis of one harvest apart."""
        self.name = f"{NAME}{number}"
        self._config, self._context = config, context
        self._client = context.client([config.api_url], config.min_interval_seconds)
        self._host = urlsplit(config.api_url).hostname or "wiki"

    # Listing

    def list_items(self) -> None:
        """Walks the categories breadth first; one page of the listing is one step that is never done twice."""
        state, queue = self._context.state, f"{self.name}/categories"
        licence = self._site()["license"]
        try:
            self._context.rules.check(licence)
        except ItemError as error:  # nothing of the wiki may be taken: said once, not for every page
            state.put_result(self.name, self.name, Result(self.name, "skipped", error.reason, error.detail), 0.0)
            return
        if state.noted(f"{self.name}:started") is None:
            with state.together():
                state.put_items(
                    queue, (self._category(0, name.removeprefix("Category:")) for name in self._config.categories)
                )
                state.note(f"{self.name}:started", True)
        with console.progress("pages listed") as tick:
            while (entry := next(state.open_items(queue), None)) is not None and not self._is_full():
                key, spec = entry
                self._list_step(queue, key, spec)
                tick.advance(state.num_items(self.name) - tick.done, detail=spec["title"])

    def _category(self, depth: int, title: str) -> tuple[str, dict[str, Any]]:
        return f"{self.name}/categories:{depth:02d}:{title}", {"title": title, "depth": depth}

    def _is_full(self) -> bool:
        most = self._config.max_pages
        return most is not None and self._context.state.num_items(self.name) >= most

    def _list_step(self, queue: str, key: str, spec: dict[str, Any]) -> None:
        """One page of the members of one category."""
        state, cursor = self._context.state, f"{key}:continue"
        onward = state.noted(cursor) or {}
        params = {
            "action": "query", "generator": "categorymembers", "gcmtitle": f"Category:{spec['title']}",
            "gcmtype": "page|subcat", "gcmlimit": "500", "prop": "info",
        }  # fmt: skip
        answer = self._ask(params | onward)
        pages = answer.query.pages
        following = {name: str(value) for name, value in (answer.onward or {}).items()}
        if following and following == onward:
            raise ItemError("continue-loop", f"{spec['title']}: the list does not end")
        with state.together():
            self._add_pages([page for page in pages if page.ns == _PAGES])
            if spec["depth"] < self._config.depth:
                found = [page.title.partition(":")[2] for page in pages if page.ns == _CATEGORIES]
                self._add_categories(queue, spec["depth"] + 1, found)
            if following:
                state.note(cursor, following)
            else:
                state.finish(key)

    def _add_pages(self, pages: list[_Listed]) -> None:
        state = self._context.state
        for page in pages:
            if self._is_full():
                return
            if page.pageid is None or page.lastrevid is None or page.redirect or self._is_excluded(page.title):
                continue
            spec = {"title": page.title, "page": page.pageid, "revision": page.lastrevid}
            state.put_items(self.name, [(f"{self.name}:{page.pageid:012d}", spec)])

    def _add_categories(self, queue: str, depth: int, titles: list[str]) -> None:
        """Adds subcategories that no shallower level has: the tree of categories has circles."""
        state = self._context.state
        for title in titles:
            known = any(state.specification(self._category(level, title)[0]) for level in range(depth + 1))
            if not known and not self._is_excluded(title):
                state.put_items(queue, [self._category(depth, title)])

    def _is_excluded(self, title: str) -> bool:
        return any(fnmatch.fnmatchcase(title, pattern) for pattern in self._config.exclude)

    # Pages

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """One page at its revision."""
        site = self._site()
        answer = self._ask({
            "action": "parse", "oldid": str(spec["revision"]), "prop": "text|revid|categories",
            "disablelimitreport": "1", "disableeditsection": "1", "disabletoc": "1",
        })  # fmt: skip
        parsed = answer.parse
        if not parsed.text.strip() or parsed.revid != spec["revision"]:
            raise ItemError("wrong-page", f"{spec['title']!r:.100}: not the revision that was asked for")
        # `.htm`: pages that end in `.html` may print times, and an artifact's digest leaves them out.
        name = f"{self._host}/{spec['page']}.htm"
        artifact.write_text(safe_path(self._context.files, name), _page(spec["title"], site["language"], parsed.text))
        yield Result(key, "kept", path=name, metadata=self._metadata(spec, parsed, site))

    def _metadata(self, spec: Mapping[str, Any], parsed: _Parsed, site: Mapping[str, Any]) -> dict[str, Any]:
        visible = [row.category for row in parsed.categories if not row.hidden]
        slug = spec["title"].replace(" ", "_")
        return {
            "id": f"{self._host}/{slug}",
            "title": spec["title"],
            "authors": [f"{site['name']} contributors"],
            "categories": sorted(name.replace("_", " ") for name in visible),
            "license": site["license"],
            "version": spec["revision"],
            "url": site["article_url"].replace("$1", quote(slug, safe="/:()',!*-._~")),
            "republish": may_republish(site["license"]),
            "provenance": {
                "protocol": "mediawiki",
                "url": f"{self._config.api_url}?action=parse&oldid={spec['revision']}",
            },
        }

    def _site(self) -> dict[str, Any]:
        """What the wiki says of itself, asked once."""
        return dict(self._context.state.once(f"{self.name}:site", self._ask_site))

    def _ask_site(self) -> dict[str, Any]:
        query = self._ask({"action": "query", "meta": "siteinfo", "siprop": "general|rightsinfo"}).query
        general, rights = query.general, query.rightsinfo
        stated = rights.url or rights.text
        server = f"https:{general.server}" if general.server.startswith("//") else general.server
        return {
            "name": general.sitename or self._host,
            "language": general.lang,
            "license": normalize_license(stated) if stated else UNKNOWN_LICENSE,
            "article_url": server + general.articlepath,
        }

    def _ask(self, params: Mapping[str, str]) -> _Reply:
        # maxlag: the wiki answers writers first when its databases are behind (mediawiki.org/wiki/Manual:Maxlag_parameter).
        common = {"format": "json", "formatversion": "2", "maxlag": "5"}
        return self._client.page(self._config.api_url, common | dict(params), _read_answer)


def _read_answer(reply: Reply) -> _Reply:
    try:
        answer = _Reply.model_validate_json(reply.body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PassingError("bad-answer", f"{where or 'body'}: {first['msg']}: {reply.body[:60]!r}") from error
    if answer.error is not None:
        code, text = answer.error.code, " ".join(answer.error.info.split())[:200]
        if code.startswith(_PASSING):
            raise PassingError(f"api-{code}", text, number_of(reply.headers.get("retry-after", "")))
        raise ItemError(f"api-{code}", text, outcome="absent" if code in _GONE else "failed")
    return answer


def _page(title: str, language: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="{html.escape(language)}">\n<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title></head>\n<body>\n{body}\n</body>\n</html>\n"
    )
