"""Ingest: literature in many formats to clean documents, each drop with its reason.

Reading, cleaning and filtering are cut into tasks that workers do in any order; one pass then puts the parts together.
Memory is bounded by a shard, a killed run repeats only what was unfinished, and the result depends on neither workers
nor executor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.dedup import DedupConfig
from sagecraft.corpus.executors import Executor, LimitsConfig, SlurmConfig
from sagecraft.corpus.filters import FilterConfig
from sagecraft.errors import UserError
from sagecraft.settings import explained, read_yaml_mapping

if TYPE_CHECKING:
    from sagecraft.corpus.audit import Audit
    from sagecraft.corpus.dedup_report import DuplicateAudit
    from sagecraft.corpus.reference import Kind
    from sagecraft.corpus.sources.files import Source

VERSION = 4
#: Stands for the artifact of that stage among the sources.
_HARVEST = "harvest"


class SourceConfig(BaseModel):
    """One source of the corpus and what to take of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1, description="file or folder")
    share: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="part of the source's text to take, from and to as fractions of its characters, cut between "
        "paragraphs; [0, 0.5] and [0.5, 1] have nothing in common. All of it by default.",
    )
    license: str | None = Field(
        default=None, description="licence of documents that state none themselves; unknown by default"
    )

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        first, last = self.share
        if not 0.0 <= first < last <= 1.0:
            raise ValueError(f"share must be two fractions with 0 <= from < to <= 1, not [{first:g}, {last:g}]")
        return self


class IngestConfig(BaseModel):
    """What to read and what to keep of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    paths: list[str | SourceConfig] = Field(
        default=[],
        description="files, folders and archives, or {path, share, license} each; read in this order, and a harvest last",
    )
    filters: FilterConfig = Field(default=FilterConfig(), description="what a document must be like")
    dedup: DedupConfig = Field(default=DedupConfig(), description="what counts as a duplicate, within and across paths")
    measure: bool = Field(
        default=False,
        description="drop nothing by the filters; write `measures.parquet` and draw what each filter would keep at each "
        "threshold",
    )
    reference: str | None = Field(
        default=None,
        min_length=1,
        description="a distribution to be held against: a CSV or JSONL file with the columns `key` (a category or a year) "
        "and `share`, or an artifact of documents",
    )
    shard_documents: int = Field(
        default=2000, ge=1, description="documents in a Parquet file; a file ends at 32 M characters in any case"
    )
    limits: LimitsConfig = Field(default=LimitsConfig(), description="what a file may take before it is kept aside")
    # Where and how wide it runs changes no byte of the result, and so is no part of its fingerprint.
    executor: Executor = Field(
        default="local",
        exclude=True,
        description="local, or slurm or ray through datatrove (the output folder must be visible to all machines)",
    )
    workers: int | None = Field(
        default=None, ge=1, exclude=True, description="processes at a time; by default the cores of this machine"
    )
    slurm: SlurmConfig = Field(default=SlurmConfig(), exclude=True, description="the job to ask Slurm for")


def from_command(
    paths: Sequence[Path],
    settings: Path | None,
    measure: bool = False,
    licenses: Sequence[str] = (),
    reference: Path | None = None,
    workers: int | None = None,
) -> tuple[IngestConfig, dict[str, Path]]:
    """What `sagecraft ingest` was asked for: options go before what the file of settings says.

    Args:
        paths: to read.
        settings: YAML file of the configuration's keys, without `paths`.
        measure: drop nothing by filters.
        licenses: allow-list; the file's, or none, if it is empty.
        reference: a distribution to be held against.
        workers: processes.

    Returns:
        The configuration, and the inputs of `run`.

    Raises:
        UserError: one line a fault.
    """
    value = read_yaml_mapping(settings, "settings are a mapping of keys") if settings is not None else {}
    if "paths" in value:
        raise UserError(f"{settings}: paths: are given on the command line; remove the key")
    options = {"measure": measure or None, "workers": workers, "reference": str(reference) if reference else None}
    value |= {name: option for name, option in options.items() if option is not None}
    if licenses:
        rules = value.get("filters") or {}
        value["filters"] = rules | {"licenses": list(licenses)} if isinstance(rules, dict) else rules
    with explained(IngestConfig, str(settings) if settings is not None else "ingest"):
        config = IngestConfig.model_validate(value | {"paths": [str(path) for path in paths]})
    inputs = {f"path{number}": path for number, path in enumerate(paths)}
    if config.reference is not None:
        beside = settings.parent if settings is not None and reference is None else Path()
        places = (Path(config.reference).expanduser(), beside / Path(config.reference).expanduser())
        inputs["reference"] = next((place for place in places if place.exists()), places[0])
        if not inputs["reference"].exists():
            raise UserError(f"reference: {config.reference}: no such file or folder; correct it")
    return config, inputs


def run(config: IngestConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Reads `config.paths` into an artifact of documents.

    Args:
        config: what to keep.
        inputs: `path0`, `path1`, …: where the paths of the configuration are, in their order; and `harvest`, what came
            from servers, if there is one; and `reference`, if the configuration names one.
        out: the artifact: `documents/*.parquet`, `dropped/*.parquet`, `report.html`, and with `measure`
            `measures.parquet`.

    Raises:
        UserError: a source without one readable document, or a sidecar or a reference that is wrong.
    """
    from sagecraft.corpus.assemble import assemble
    from sagecraft.corpus.executors import run_all
    from sagecraft.corpus.measure import MeasureWriter
    from sagecraft.corpus.reference import read_reference
    from sagecraft.corpus.tasks import make_plan

    reference = read_reference(inputs["reference"]) if config.reference is not None else {}
    rules = FilterConfig.none() if config.measure else config.filters

    with artifact.build(
        out, kind="documents", stage="ingest", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        scratch = build.scratch("reading")
        plan = make_plan(scratch, rules, config.dedup, _sources(config, inputs))
        with console.progress("documents") as tick:
            run_all(
                scratch, plan, config.executor, config.limits, config.workers, config.slurm, lambda: tick.advance(1)
            )
        measures = MeasureWriter(build.path, config.filters) if config.measure else None
        audit, duplicates = assemble(scratch, plan, build.path, config.shard_documents, measures)
        if measures is not None:
            measures.close()
        build.stats.update(_write_report(build.path, config, audit, duplicates, reference))
    return build.manifest


def _write_report(
    out: Path,
    config: IngestConfig,
    audit: Audit,
    duplicates: DuplicateAudit,
    reference: Mapping[Kind, Mapping[str, float]],
) -> dict[str, Any]:
    """Writes the page and returns the figures of the manifest."""
    from sagecraft.corpus import measure, measure_report
    from sagecraft.corpus.ingest_report import write_report
    from sagecraft.corpus.reference import compare

    stats = audit.stats()
    comparisons = compare(audit, reference, Path(config.reference or "").name)
    if comparisons:
        stats["reference"] = [comparison.stats() for comparison in comparisons]
    section = None
    if config.measure:
        found = measure.verdict(out)
        stats |= found.stats()
        section = partial(measure_report.add_section, folder=out, rules=config.filters, found=found)
    write_report(out / "report.html", audit, duplicates, config, comparisons, section)
    return stats


def _sources(config: IngestConfig, inputs: Mapping[str, Path]) -> list[tuple[Source, tuple[float, float]]]:
    from sagecraft.corpus.sources.files import Source

    sources: list[tuple[Source, tuple[float, float]]] = []
    labels: set[str] = set()
    for number, entry in enumerate(config.paths):
        stated = SourceConfig(path=entry) if isinstance(entry, str) else entry
        path = inputs[f"path{number}"]
        if not path.exists():
            raise UserError(f"{stated.path}: no such file or folder; correct paths[{number}]")
        stem = path.name.split(".")[0] if path.is_file() else path.resolve().name
        # Two folders of one name must not give their documents the same identifiers. Shares of one source do: they
        # are told apart by what they take.
        label = stem if path.is_dir() else (path.resolve().parent.name)
        same = [source.label for source, _ in sources if source.path == path]
        if same:
            label = same[0]
        else:
            base, count = label, 1
            while label in labels:
                count += 1
                label = f"{base}-{count}"
        labels.add(label)
        sources.append((Source(stated.path, path, label, stated.license), stated.share))
    if "harvest" in inputs:
        label = _HARVEST if _HARVEST not in labels else f"{_HARVEST}-servers"
        sources.append((Source(_HARVEST, inputs["harvest"] / "files", label), (0.0, 1.0)))
    if not sources:
        raise UserError("corpus.paths: names nothing to read; give files or folders, or a harvest")
    return sources
