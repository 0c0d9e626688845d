"""Stage `harvest`: literature from servers, with its licence and where it came from, ready to be ingested.

The artifact holds `files/` as they were delivered, `files/metadata.jsonl` (the sidecar that `ingest` reads),
`files/arxiv/records.jsonl` (metadata of papers whose text was not taken, the abstract as text), `log.jsonl` (what is
missing and why), and `retrieved.json` (when each file came: the one file that differs between two equal harvests).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Build, Manifest
from sagecraft.corpus.licenses import is_arxiv_default
from sagecraft.corpus.sidecar import SIDECAR
from sagecraft.corpus.sources.bulk import Bulk, BulkConfig
from sagecraft.corpus.sources.context import Context, Rules
from sagecraft.corpus.sources.dump import Dump, DumpConfig
from sagecraft.corpus.sources.eprints import Eprints, EprintsConfig
from sagecraft.corpus.sources.http import HttpConfig, is_address
from sagecraft.corpus.sources.hub import Dataset, DatasetConfig
from sagecraft.corpus.sources.items import Clock, Harvester, ItemError, Result, of_error
from sagecraft.corpus.sources.oai import ArxivConfig, list_records
from sagecraft.corpus.sources.state import State
from sagecraft.corpus.sources.wikipedia import Wikipedia, WikipediaConfig
from sagecraft.errors import MachineError, UserError
from sagecraft.settings import explained, read_yaml_mapping

VERSION = 1
FILES = "files"
LOG = "log.jsonl"
RECORDS = "arxiv/records.jsonl"
_RETRIEVED = "retrieved.json"
#: Failures in a row after which a server is taken for down: going on would only add to its load.
_MAX_FAILURES_IN_A_ROW = 10
#: arXiv dedicates its metadata, abstracts included, to the public domain (info.arxiv.org/help/api/tou.html).
_METADATA_LICENSE = "CC0-1.0"


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping | BaseModel) else value


class HarvestConfig(BaseModel):
    """What to get from where. Every section is a source; each follows its service's terms of use by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    contact: str = Field(
        max_length=200,
        description="your e-mail address or page; servers see it and write there before they block. Not kept in the artifact.",
        exclude=True,
    )
    licenses: list[str] | None = Field(
        default=None,
        description="allow-list (`CC-BY-4.0`, `CC-BY-SA-*`; mind that `CC-BY-*` has NC and ND in it); what has another licence is not downloaded. All are allowed by default, "
        "but for arXiv's own.",
    )
    train_on_arxiv_license: bool = Field(
        default=False,
        description="take text under arXiv's own licence (most papers) to train on. Whether you may is for you to say; it is "
        "never to be republished. By default only the metadata of such papers is kept, which is CC0.",
    )
    max_failed_share: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="largest share of a source's items that may have failed; with more the run ends with an error",
        exclude=True,
    )
    http: HttpConfig = Field(default=HttpConfig(), exclude=True, description="patience with servers")
    arxiv: ArxivConfig | None = Field(
        default=None,
        description="records of arXiv: the papers that `eprints` and `bulk` get, or abstracts where neither does",
    )
    eprints: EprintsConfig | None = Field(default=None, description="papers from arXiv, one by one")
    bulk: BulkConfig | None = Field(default=None, description="papers from arXiv's bulk archives")
    wikipedia: Annotated[list[WikipediaConfig], BeforeValidator(_one_or_more)] = Field(
        default=[], description="one wiki or several"
    )
    dump: Annotated[list[DumpConfig], BeforeValidator(_one_or_more)] = Field(
        default=[], description="one dump or several"
    )
    dataset: Annotated[list[DatasetConfig], BeforeValidator(_one_or_more)] = Field(
        default=[], description="one data set or several"
    )

    @field_validator("contact")
    @classmethod
    def _check_contact(cls, value: str) -> str:
        if not re.fullmatch(r"[!-~]+@[!-~]+|https?://[!-~]+", value):
            raise ValueError(
                "give the e-mail address, or the https:// address of a page, where whoever runs a server reaches you"
            )
        return value

    @field_validator("licenses")
    @classmethod
    def _check_licenses(cls, value: list[str] | None) -> list[str] | None:
        for name in value or []:
            if is_arxiv_default(name):
                raise ValueError(
                    f"{name} is for train_on_arxiv_license to allow; set that to true and leave it out here"
                )
        return value

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not any((self.arxiv, self.eprints, self.bulk, self.wikipedia, self.dump, self.dataset)):
            raise ValueError("names no source; add one of arxiv, eprints, bulk, wikipedia, dump, dataset")
        if self.eprints is not None and self.eprints.is_listed_elsewhere and self.arxiv is None:
            raise ValueError("eprints: names no papers; give identifiers, identifiers_file, or a section arxiv")
        return self


def local_files(config: HarvestConfig) -> dict[str, str]:
    """Inputs that are files: name of the input → path as written."""
    found = {}
    if config.eprints is not None and config.eprints.identifiers_file is not None:
        found["identifiers"] = config.eprints.identifiers_file
    if config.bulk is not None and not is_address(config.bulk.manifest):
        found["manifest"] = config.bulk.manifest
    for number, dump in enumerate(config.dump):
        if not is_address(dump.path):
            found[f"dump{number}"] = dump.path
    return found


def run(config: HarvestConfig, inputs: Mapping[str, Path], out: Path, *, clock: Clock | None = None) -> Manifest:
    """Harvests, or goes on with a harvest that was killed, or gets what an earlier one is missing.

    Args:
        config: what to get.
        inputs: the files of `local_files`.
        out: the artifact. One that stands there for the same configuration and lacks something is completed.
        clock: time; tests pass their own.

    Raises:
        UserError: nothing was found, or a source is described wrongly.
        MachineError: a list did not come to its end, a server is down, or too much failed. What has arrived is kept.
    """
    for name, written in local_files(config).items():
        if name not in inputs or not inputs[name].is_file():
            raise UserError(f"{written}: no such file; correct the path")
    earlier = _incomplete(config, inputs, out)
    try:
        return _harvest(config, inputs, out, earlier, clock or Clock())
    except MachineError as error:
        if earlier is None:
            raise
        console.warn(f"{error}; {out} stays as it is, without {earlier.stats['num_failed']} items")
        return earlier


def harvest_from_yaml(path: Path, out: Path) -> Manifest:
    """Runs a file whose keys are those of the section `harvest` of a recipe. A whole harvest is not asked for again.

    Raises:
        UserError: one line a fault.
    """
    value = read_yaml_mapping(path, "a harvest is a mapping of sources")
    with explained(HarvestConfig, str(path)):
        config = HarvestConfig.model_validate(value)
    inputs = {}
    for name, written in local_files(config).items():
        places = (Path(written).expanduser(), path.parent / Path(written).expanduser())
        inputs[name] = next((place for place in places if place.is_file()), places[0])
    artifact.settle(out)
    if _is_whole(config, inputs, out) and not artifact.load(out).stats["num_failed"]:
        console.say(f"{out}: nothing is missing; delete the folder to harvest afresh")
        return artifact.load(out)
    return run(config, inputs, out)


def _is_whole(config: HarvestConfig, inputs: Mapping[str, Path], out: Path) -> bool:
    """True if this very harvest stands at `out`, whatever failed in it."""
    if not artifact.is_artifact(out) or not all(path.is_file() for path in inputs.values()):
        return False
    digests = {name: artifact.input_digest(path) for name, path in sorted(inputs.items())}
    return artifact.is_finished(out, artifact.fingerprint("harvest", VERSION, config.model_dump(mode="json"), digests))


def _incomplete(config: HarvestConfig, inputs: Mapping[str, Path], out: Path) -> Manifest | None:
    """The artifact that stands at `out`, if it is this harvest and something failed in it."""
    if not _is_whole(config, inputs, out):
        return None
    manifest = artifact.load(out, "literature")
    return manifest if manifest.stats["num_failed"] else None


def _harvest(
    config: HarvestConfig, inputs: Mapping[str, Path], out: Path, earlier: Manifest | None, clock: Clock
) -> Manifest:
    with (
        artifact.build(
            out, kind="literature", stage="harvest", version=VERSION, config=config, inputs=inputs, resumable=True
        ) as build,
        contextlib.ExitStack() as stack,
    ):
        context = Context(
            state=stack.enter_context(State(build.scratch("state") / "harvest.sqlite")),
            files=build.scratch(FILES),  # what stands outside the scratch folders does not survive an interruption
            scratch=build.scratch("parts"),
            rules=Rules(config.licenses, config.train_on_arxiv_license),
            contact=config.contact,
            http=config.http,
            clock=clock,
            stack=stack,
        )
        if earlier is not None and context.state.noted("adopted") is None:
            _adopt(out, earlier, context)
        _retrieve(config, inputs, context)
        _judge(config, context.state)
        _write(build, context)
    return build.manifest


def _retrieve(config: HarvestConfig, inputs: Mapping[str, Path], context: Context) -> None:
    """Lists what is not listed yet and gets what is not there yet."""
    state = context.state
    still = state.reopen_failed()
    if still:
        console.say(f"  {still} items are still to be had")
    is_adopted = state.noted("adopted") is not None  # then the lists are done, and the open items are what failed
    if config.arxiv is not None and not is_adopted:
        with _listing("arxiv"):
            list_records(config.arxiv, context)
    for source in _sources(config, inputs, context):
        if not is_adopted and state.noted(f"listed:{source.name}") is None:
            with _listing(source.name):
                source.list_items()
            state.note(f"listed:{source.name}", True)
        _fetch_all(source, context)


def _sources(config: HarvestConfig, inputs: Mapping[str, Path], context: Context) -> Iterator[Harvester]:
    """The sources that have files, in the order in which they are asked."""
    if config.eprints is not None:
        yield Eprints(config.eprints, context, inputs.get("identifiers"))
    if config.bulk is not None:
        yield Bulk(config.bulk, context, inputs.get("manifest"), config.arxiv is not None)
    for number, wiki in enumerate(config.wikipedia):
        yield Wikipedia(wiki, context, number)
    for number, dump in enumerate(config.dump):
        yield Dump(dump, context, number, inputs.get(f"dump{number}"))
    for number, dataset in enumerate(config.dataset):
        yield Dataset(dataset, context, number)


@contextlib.contextmanager
def _listing(name: str) -> Iterator[None]:
    """A list that stops half-way cannot be told from a whole one, so it ends the run."""
    try:
        yield
    except ItemError as error:
        raise MachineError(
            f"{name}: the list could not be read to its end: {error}; run the same command again, what has arrived is kept"
        ) from error


def _fetch_all(source: Harvester, context: Context) -> None:
    """Gets the open items of a source, each on its own: one that fails is noted and does not stop the others."""
    state, in_a_row = context.state, 0
    with console.progress(source.name, state.num_items(source.name)) as tick:
        tick.start_at(state.num_items(source.name, done=True))
        for key, spec in state.open_items(source.name):
            failure: ItemError | None = None
            try:
                for result in source.fetch(key, spec):
                    state.put_result(source.name, key, result, context.clock.now())
                    tick.advance(0, detail=result.key)  # one item may be hours of a dump
            except ItemError as error:
                failure = error
                state.put_result(source.name, key, of_error(key, error), context.clock.now())
            state.finish(key)
            tick.advance(detail=key)
            in_a_row = in_a_row + 1 if failure is not None and failure.outcome == "failed" else 0
            if in_a_row == _MAX_FAILURES_IN_A_ROW:
                raise MachineError(
                    f"{source.name}: {in_a_row} items failed one after the other, the last with {failure}; run the same "
                    "command again when the server answers, what has arrived is kept"
                )


def _judge(config: HarvestConfig, state: State) -> None:
    """Refuses a harvest that lacks too much, and one that holds nothing."""
    failed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for (source, outcome, reason), count in state.counts().items():
        tried[source] += count
        if outcome == "failed":
            failed[source] += count
            reasons[reason] += count
    for source, count in sorted(failed.items()):
        share = count / tried[source]
        if share > config.max_failed_share:
            worst = ", ".join(f"{reason} ({number})" for reason, number in reasons.most_common(3))
            raise MachineError(
                f"{source}: {count} of {tried[source]} items failed ({worst}), more than max_failed_share "
                f"({config.max_failed_share:g}); run the same command again to get them, what has arrived is kept"
            )
    if next(state.kept(), None) is None and not state.num_records():
        skipped = Counter[str]()
        for (_, _, reason), count in state.counts().items():
            skipped[reason] += count
        seen = ", ".join(f"{reason} ({number})" for reason, number in skipped.most_common(3)) or "the lists are empty"
        raise UserError(
            f"harvest: nothing was found that may be kept: {seen}; check sets, dates, categories and licenses"
        )


# Writing and reading back


def _write(build: Build, context: Context) -> None:
    """Writes out what the state knows, in sorted order: the same whatever was interrupted on the way."""
    state, files = context.state, build.path / FILES
    for result, _, _ in state.kept():  # linked, not moved: killed in the middle, the next run finds them all again
        _link(context.files / str(result.path), files / str(result.path))
    artifact.write_jsonl(files / SIDECAR, _sidecar(state))
    rows = _records(state)
    first = next(rows, None)
    num_records = 0 if first is None else artifact.write_jsonl(files / RECORDS, itertools.chain([first], rows))
    artifact.write_jsonl(build.path / LOG, _log(state))
    artifact.write_json(build.path / _RETRIEVED, {"seconds": {str(r.path): round(t, 3) for r, _, t in state.kept()}})
    build.timed.add(_RETRIEVED)
    build.stats.update(_stats(state, num_records))
    if build.stats["num_failed"]:
        console.warn(
            f"{build.stats['num_failed']} items are missing ({LOG} says why); run the same command again to get them alone"
        )


def _sidecar(state: State) -> Iterator[dict[str, Any]]:
    for result, source, _ in state.kept():
        stated = {key: value for key, value in result.metadata.items() if not key.startswith("_")}
        yield {
            "path": result.path,
            **stated,
            "provenance": dict(sorted({**stated["provenance"], "source": source}.items())),
        }


def _records(state: State) -> Iterator[dict[str, Any]]:
    """Records whose text is not there: the abstract is their text, and its licence is that of the metadata."""
    kept = {str(result.metadata.get("id")) for result, _, _ in state.kept()}
    for record in state.records():
        identifier = f"arXiv:{record['id']}"
        if identifier in kept:
            continue
        rest = {key: value for key, value in record.items() if key not in ("id", "license", "abstract")}
        yield {
            "id": identifier,
            **rest,
            "text": record["abstract"],
            "license": _METADATA_LICENSE,
            "text_license": record["license"],
            "url": f"https://arxiv.org/abs/{record['id']}",
            "republish": True,
        }


def _record_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The record behind a row of `_records`."""
    own = ("id", "text", "license", "text_license", "url", "republish")
    rest = {key: value for key, value in row.items() if key not in own}
    identifier = str(row["id"]).removeprefix("arXiv:")
    return {"id": identifier, **rest, "abstract": row["text"], "license": row["text_license"]}


def _log(state: State) -> Iterator[dict[str, Any]]:
    for result, item, source in state.not_kept():
        row = {"key": result.key, "source": source, "outcome": result.outcome, "reason": result.reason}
        specification = state.specification(item) if result.outcome == "failed" else None
        yield (
            row
            | {"detail": result.detail}
            | ({"item": item, "spec": specification} if specification is not None else {})
        )


def _stats(state: State, num_records: int) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    for (source, outcome, reason), count in state.counts().items():
        outcomes[outcome] += count
        sources.setdefault(source, Counter())[outcome] += count
        if outcome != "kept":
            reasons[reason] += count
    licenses = Counter(str(result.metadata.get("license", "stated by its rows")) for result, _, _ in state.kept())
    return {
        "num_files": outcomes["kept"],
        "num_records": num_records,
        "num_deleted_records": state.noted("deleted") or state.num_records(deleted=True),
        "num_skipped": outcomes["skipped"],
        "num_absent": outcomes["absent"],
        "num_failed": outcomes["failed"],
        "sources": {name: dict(sorted(counts.items())) for name, counts in sorted(sources.items())},
        "reasons": dict(sorted(reasons.items())),
        "licenses": dict(sorted(licenses.items())),
        "decided": state.decisions(),
    }


def _adopt(out: Path, earlier: Manifest, context: Context) -> None:
    """Takes over what an earlier harvest has: files by link, its records, and its failures as the only open items."""
    state = context.state
    retrieved = artifact.read_json(out / _RETRIEVED)["seconds"]
    with state.together():
        for row in artifact.read_jsonl(out / FILES / SIDECAR):
            path = str(row.pop("path"))
            _link(out / FILES / path, context.files / path)
            result = Result(path, "kept", path=path, metadata=row)
            state.put_result(row["provenance"]["source"], path, result, retrieved[path])
        records = out / FILES / RECORDS
        rows = map(_record_of, artifact.read_jsonl(records)) if records.is_file() else iter(())
        state.put_records((row["id"], "", False, row) for row in rows)
        for row in artifact.read_jsonl(out / LOG):
            item = row.get("item", row["key"])
            if "spec" in row:
                state.put_items(row["source"], [(item, row["spec"])])
            result = Result(row["key"], row["outcome"], row["reason"], row["detail"])
            state.put_result(row["source"], item, result, 0.0)
        for name, value in earlier.stats["decided"].items():
            state.decide(name, value)
        state.note("deleted", earlier.stats["num_deleted_records"])
        state.note("adopted", True)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the disk has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
