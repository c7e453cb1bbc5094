"""Commands on the run folder of a job that runs, ended or broke off: what each is called, and what it prints."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cluster.errors import JobIncompleteError

if TYPE_CHECKING:  # the command's own help loads no storage library
    from cluster.storage import Folder


@dataclass(frozen=True)
class Tool:
    """A command that takes run folders (`operand`; one, unless it says `…`) and options.

    config: the module that holds the schema of its `key=value` settings, and `schema` its name there; empty where it takes
    none. job, operands: of a command that is done at once, the module whose `run(config)` says what was done, and the keys
    that words without `=` are values of, in their order.
    """

    name: str
    summary: str
    operand: str
    options: tuple[str, ...]
    explained: str
    config: str = ""
    schema: str = "CONFIG"
    job: str = ""
    operands: tuple[str, ...] = ()

    def help(self) -> str:
        bracketed = ["[key=value …]"] * bool(self.config) + [f"[{option}]" for option in self.options]
        usage = f"invertone {self.name} {self.operand} {' '.join(bracketed)}"
        return f"{usage}\n\n{self.summary[0].upper()}{self.summary[1:]}.\n\n{textwrap.fill(self.explained, 110)}"


TOOLS = (
    Tool(
        "status",
        "how far a run is: done, running, failed, rate, time left",
        "RUN",
        ("--json",),
        "Works while the job runs, from anywhere that sees the folder, and costs a few listings however large the run.",
    ),
    Tool(
        "failed",
        "which units and items of a run failed, why, and the last traceback",
        "RUN",
        ("--json",),
        "Lists units that raised (failed), units whose worker died with nothing in hand (quarantined), and single items "
        "that have an error in place of a result: what could not be decoded or inverted, or killed or hung its worker.",
    ),
    Tool(
        "retry",
        "try again what failed, was quarantined or left out, and nothing else",
        "RUN",
        ("--dry-run", "--damaged"),
        "Runs the job again as run.json describes it, for those units alone. What never came to its turn is done by "
        "typing the job's own command again, and so is what lost a file. --damaged reads every file as `verify` does, "
        "removes the damaged ones and makes them again.",
    ),
    Tool(
        "verify",
        "read every shard, checkpoint and Parquet file and compare it with what was recorded",
        "PATH",
        ("--json",),
        "PATH is a run folder, a folder of shards or a checkpoint. Exit code 3 if anything is damaged or missing.",
    ),
    Tool(
        "report",
        "show runs in one HTML file, to look at and to listen to",
        "RUN…",
        ("--dry-run",),
        "RUN is the out of an eval (its table and figures), an infer (clips beside their reconstructions; several runs over "
        "the same shards are compared), a train (curves and samples), a generate or an ingest (clips). The file holds all "
        "that it shows and fetches nothing. Example: invertone report runs/table runs/latents out=report.html",
        "eval.report.config",
    ),
)

AT_ONCE = (
    Tool(
        "invert",
        "recover the latent of one recording, and what the generator makes of it",
        "FILE [OUT.wav]",
        (),
        "Takes the models that come with the package, unless others are named. Writes the reconstruction, the latent (.npy) "
        "and both in figures (.json), and shows scores beside those of silence and of random latents. "
        "Example: invertone invert seven.wav",
        "infer.file_config",
        "INVERT",
        "infer.invert_file",
        ("file", "out"),
    ),
    Tool(
        "decode",
        "make sound of latents, edited perhaps",
        "LATENTS",
        (),
        "LATENTS is what invert wrote, an array of your own, or the Parquet of an infer run. "
        "Example: invertone decode seven-inverted.npy out=again.wav",
        "infer.file_config",
        "DECODE",
        "infer.decode_file",
        ("latents",),
    ),
    Tool(
        "models",
        "the models that come with the package: list them, show a card, copy one, make one to give away",
        "[list|show|copy|pack] [MODEL]",
        (),
        "`show MODEL` prints its card, `copy MODEL out=FOLDER` makes it a checkpoint like any other, `pack RUN out=FOLDER` "
        "makes of a trained model what can be given away: half precision, without what only training needs, a card. Every key "
        "that takes a checkpoint takes shipped:FAMILY, for example generator=shipped:digits mapper=shipped:digits.",
        "models.packing_config",
        "CONFIG",
        "models.shipped_models",
        ("action", "model"),
    ),
)
"""Commands for single files and models, done in this process without Ray."""


def print_what(tool: str, folder: Folder, as_json: bool) -> None:
    """Prints what the tool of that name says of `folder`, for people or as JSON. Raises JobIncompleteError, after
    listing them, where `verify` finds damaged files.
    """
    if tool == "verify":
        _verify(folder, as_json)
        return
    from cluster.status import failed, failure_lines, status

    if tool == "status":
        found = status(folder)
        print(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines()))
    else:
        failures = failed(folder)
        print(
            json.dumps([asdict(each) for each in failures], indent=2) if as_json else "\n".join(failure_lines(failures))
        )


def _verify(folder: Folder, as_json: bool) -> None:
    from cluster.verify import unfinished_run, verify

    checked = []
    for each in verify(folder):
        checked.append(each)
        if each.problem and not as_json:
            print(f"{each.name}: {each.problem}")
    bad = [each for each in checked if each.problem]
    missing = unfinished_run(folder)
    if as_json:
        files = [asdict(each) for each in checked]
        print(json.dumps({"files": files, "damaged": len(bad), "unfinished": missing}, indent=2))
    if bad:
        again = any(each.unit for each in bad)
        raise JobIncompleteError(
            f"{len(bad):,} of {len(checked):,} files are damaged or missing",
            where=folder.uri,
            fix=f"`invertone retry {folder.uri} --damaged` makes them again" if again else "they are listed above",
        )
    if not as_json:
        size = sum(each.bytes for each in checked)
        print(f"{len(checked):,} files, {size / 1e6:,.1f} MB: all as recorded{f'; {missing}' if missing else ''}")
