"""The ingest job: plan, shard, manifest."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.runs import recorded
from invertone.cluster.formats.shards import (
    REJECTS,
    SPLITS,
    Reject,
    ShardManifest,
    Warned,
    read_rejects,
)
from invertone.cluster.jobs.bulk import bulk_job
from invertone.cluster.jobs.engine import Outcome, UnitResult
from invertone.cluster.jobs.sharding import Spill, megabytes, publish_manifest, shard_lines, shard_result
from invertone.cluster.jobs.sums import merge
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder, sha256
from invertone.cluster.storage.layout import laid_out
from invertone.ingest.config import CORPORA
from invertone.ingest.corpora.described import tables_of
from invertone.ingest.corpora.entry import Reader
from invertone.ingest.corpora.keys import AnyIngest
from invertone.ingest.plan.entries import INDICES, PLAN_REJECTS, Plan, ShardWork, changed_files, read_rows, saved_plan
from invertone.ingest.plan.planning import make_plan, uncollected
from invertone.ingest.plan.side_files import outside
from invertone.ingest.signals import Intake, intake_of
from invertone.ingest.sources.members import Member, member_uri
from invertone.ingest.sources.opener import Opener
from invertone.ingest.sources.remote import READ_ERRORS, read_fails_for_now, storage_watched
from invertone.ingest.sources.source import Survey, list_source, survey

AT_ONCE = 4
"""Threads of a worker, at most: more wait for the interpreter's lock, which a recording needs for two fifths of its time."""
AHEAD = 64
"""Recordings that wait to be worked on, or to be counted, while others are."""


def plan(config: AnyIngest) -> list[str]:
    """What --dry-run prints: how much would be done."""
    with uncollected():
        listing = list_source(config.source, endings=_endings(config))
        made = make_plan(config, listing, None)
    kind, counts = intake_of(config), Counter[str]()
    for unit in made.units:
        counts[ShardWork(**unit.work).split] += unit.items
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    return [
        f"would read: {made.files:,} {kind.many} ({splits}), {megabytes(made.bytes)}",
        f"would list: {made.rejects:,} files that are no {kind.made}; {made.passed:,} are none of this config's",
        f"would write: {len(made.units):,} shards into {config.out}",
        *kind.sample_lines(listing, made.sample),
        *made.notes,
    ]


def run(name: str, config: AnyIngest) -> None:
    """Shards `config.source` into `config.out` and says what came of it."""
    if f"{config.out}/".startswith(f"{config.source.rstrip('/')}/"):
        raise UserError("out lies inside the source, and would be read as a part of it", fix="give another out")
    with uncollected():
        now = survey(config.source, _endings(config))
    _refuse_changed(config, now)
    kind = intake_of(config)
    with bulk_job("ingest", name, config, {"source": now.identity} | _of_tables(config, now)) as job:
        folder = job.folder
        with uncollected():
            made = saved_plan(folder, kind.one) or make_plan(
                config, list_source(config.source, now, _endings(config)), folder
            )
        for note in made.notes:
            print(note)
        outcome = job.run_units(ShardStage(folder, config), made.units, items=kind.many)
        manifest = _finish(folder, config, kind, made, outcome)
        if not manifest.shards:
            ((reason, count),) = Counter(each.reason for each in read_rejects(folder)).most_common(1)
            problem = f"not one {kind.one} could be read; {count:,} times: {reason}"
            raise UserError(problem, where=config.source, fix=f"see {folder.path_of(REJECTS)}, then give another out")
        job.say(*shard_lines(folder, manifest, "inputs"))
        job.say(*filter(None, [kind.counted(outcome.statistics.get(kind.statistics, {}), outcome.units)]))


def _endings(config: AnyIngest) -> Collection[str]:
    """Of file names that promise what the corpus is made of."""
    reader: Reader = CORPORA.implementation(config.corpus)
    return reader.inputs.endings


def _of_tables(config: AnyIngest, now: Survey) -> dict[str, str]:
    """A digest of the tables that describe the source, by role; of those in its archives the archives' own digest says all."""
    keys: Any = config
    if not getattr(keys, "labels", None):
        return {}
    places = [f"{config.source}/{place}" if inside else place for place, inside in tables_of(keys, list(now.files))]
    there = [place for place in places if Folder.at(place.rpartition("/")[0] or "/").exists(place.rpartition("/")[2])]
    return {"labels": sha256("\n".join(sha256(outside(place)) for place in there).encode())}


def _refuse_changed(config: AnyIngest, now: Survey) -> None:
    """Raises UserError where `out` holds a run of this source as it was before, in words."""
    try:
        folder = laid_out(Folder.at(config.out))
        before = recorded(folder)["fingerprint"]
    except (UserError, KeyError, OSError):  # none, or one of which `open_run` says what is wrong with it
        return
    if before.get("stage") != "ingest" or before.get("source") != config.source:
        return
    changed = changed_files(folder, now)
    if changed:
        some = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        problem = f"{len(changed):,} files of the source have changed or gone since the run in out began: {some}"
    elif before.get("input.source") != now.identity:
        problem = "files have come to the source, or left it, since the run in out began"
    else:
        return
    raise UserError(problem, where=config.source, fix="give another out")


@dataclass
class _Found:
    """What is to be told of recordings besides their clips. members: the files that were read. counts: of what was
    done to them (`ingest.signals`)."""

    rejects: list[Reject] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    clipped: int = 0
    counts: dict[str, Any] = field(default_factory=dict)

    def add(self, other: _Found) -> None:
        self.rejects += other.rejects
        self.warnings += other.warnings
        self.members += other.members
        self.clipped += other.clipped
        self.counts = merge([self.counts, other.counts])


def _in_order(pool: Executor, work: Callable[[int], _Found], numbers: Sequence[int]) -> Iterator[_Found]:
    """What `work` gives for each of `numbers`, in their order. When the first has raised, none is begun any more, and all
    that were begun have ended."""
    waiting = deque[Future[_Found]]()
    try:
        for number in numbers:
            waiting.append(pool.submit(work, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()
        wait(waiting)


@dataclass(frozen=True)
class ShardStage:
    """What a worker needs to turn rows of the plan into a shard."""

    folder: Folder
    config: AnyIngest

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        """threads: recordings that are worked on at once, up to AT_ONCE."""
        opener, kind = Opener(self.config.source, self.folder / INDICES), intake_of(self.config)
        pool = ThreadPoolExecutor(min(threads, AT_ONCE)) if threads > 1 else None

        def process(work: Mapping[str, Any]) -> UnitResult:
            return self._shard(ShardWork(**work), opener, watch, pool, kind)

        return process

    def _shard(self, work: ShardWork, opener: Opener, watch: Watch, pool: Executor | None, kind: Intake) -> UnitResult:
        made, found = Spill(), _Found()
        recordings = read_rows(self.folder, work.row_group)
        # read as they lie in the archives: going back in a compressed one may mean unpacking the same stretch again
        order = sorted(
            range(len(recordings)), key=lambda each: (recordings[each][0]["archive"], recordings[each][0]["offset"])
        )

        def taken(number: int) -> _Found:
            return self._taken(number, recordings[number], made, opener, watch, kind)

        suspects = [number for number in order if recordings[number][0]["key"] in watch.suspects]
        if pool is None:
            suspects = order  # whatever is worked on is alone
        else:
            usual = [number for number in order if recordings[number][0]["key"] not in watch.suspects]
            for each in _in_order(pool, taken, usual):
                found.add(each)
        for number in suspects:
            found.add(taken(number))
        opener.check(found.members)
        result = shard_result(
            work.name, made, found.rejects, found.clipped, found.warnings, self.config.clips_per_shard
        )
        return replace(result, statistics=result.statistics | {kind.statistics: found.counts | {"units": 1}})

    def _taken(
        self,
        number: int,
        files: Sequence[Mapping[str, Any]],
        made: Spill,
        opener: Opener,
        watch: Watch,
        kind: Intake,
    ) -> _Found:
        """Puts the clips of the recording `number` into `made`: of the first of its files that is sound."""
        found, taken = _Found(), ""
        for row in files:
            member = Member(row["name"], row["size"], row["archive"], row["offset"], row.get("stamp", ""))
            uri = member_uri(self.config.source, member)
            if taken or row["key"] in watch.excluded:
                reason = watch.excluded.get(row["key"]) or f"duplicate key: {taken} has the same"
                found.rejects.append(Reject(uri, row["key"], reason))
                continue
            found.members.append(member)
            with watch.on([row["key"]]):  # what is found wrong with a file stays inside: it is no error of the unit's
                try:
                    kind.check_size(member.size)
                    with storage_watched(), opener.open(member) as file:
                        read = kind.take(file, row, uri, watch.beat)
                        made.add(number, read.clips())
                    taken = row["name"]
                    found.clipped += read.clipped
                    found.counts = read.counts()
                    found.warnings += [Warned(uri, row["key"], each.what, each.amount) for each in read.concerns()]
                except kind.bad as error:
                    found.rejects.append(Reject(uri, row["key"], str(error)))
                except READ_ERRORS as error:
                    if read_fails_for_now(error, self.config.source):
                        raise  # what lies there may be sound: the whole unit is tried again
                    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                    found.rejects.append(Reject(uri, row["key"], f"cannot be read: {reason}"))
        return found


def _finish(folder: Folder, config: AnyIngest, kind: Intake, made: Plan, outcome: Outcome) -> ShardManifest:
    corpus = ShardManifest(
        corpus=config.corpus,
        format=kind.format,
        levels=kind.levels,
        label_names=made.label_names,
        shards=(),
    )
    return publish_manifest(folder, corpus, outcome, read_rejects(folder, PLAN_REJECTS))
