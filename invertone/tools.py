"""Commands beside the stages: what each is called, what it takes, and where it is done."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invertone.cluster.config.loading import from_words
from invertone.cluster.config.registry import resolved
from invertone.cluster.errors import UserError


@dataclass(frozen=True)
class Tool:
    """A command for run folders, single files or models.

    operand: how help writes what it takes. options: those it has besides --help. run: `module:function`, which is given the
    config, or the one operand of a tool that has no schema, and options by name, and prints or returns lines. schema:
    `module:name` of the `key=value` settings; operands: the keys whose values words without `=` are, in their order (where
    operand ends in `…`, all of them are the first).
    """

    name: str
    summary: str
    operand: str
    options: tuple[str, ...]
    explained: str
    run: str
    schema: str = ""
    operands: tuple[str, ...] = ()

    def use(self, words: Sequence[str], options: set[str]) -> None:
        """Does what `words` and `options` ask for. Raises UserError for a mistake."""
        given: Any = self.config(words) if self.schema else self._one(words)
        function: Callable[..., list[str] | None] = resolved(self.run)
        said = function(given, **{option.strip("-").replace("-", "_"): option in options for option in self.options})
        print("\n".join(said or []), end="\n" * bool(said))

    def config(self, words: Sequence[str]) -> Any:
        """The config that `words` describe: those without `=`, and names of files, are operands, the others settings."""
        given = [word for word in words if "=" not in word or Path(word).exists()]
        settings = [word for word in words if word not in given]
        if self.operand.endswith("…"):
            if not given:
                raise UserError(f"{self.name} of what?", fix=f"give run folders, for example {self._example()}")
            return from_words(resolved(self.schema), settings, {self.operands[0]: given})
        if len(given) > len(self.operands):
            wrong = given[len(self.operands)]
            raise UserError(f"{self.name} takes {self.operand}, and {wrong!r} is too much", fix="see --help")
        return from_words(resolved(self.schema), settings, dict(zip(self.operands, given, strict=False)))

    def _one(self, words: Sequence[str]) -> str:
        if len(words) != 1:
            raise UserError(f"{self.name} takes one {self.operand}", fix=f"for example {self._example()}")
        return words[0]

    def _example(self) -> str:
        return f"invertone {self.name} {'runs/table ' * self.operand.endswith('…')}runs/latents"

    def help(self) -> str:
        bracketed = ["[key=value …]"] * bool(self.schema) + [f"[{option}]" for option in self.options]
        usage = f"invertone {self.name} {self.operand} {' '.join(bracketed)}"
        return f"{usage}\n\n{self.summary[0].upper()}{self.summary[1:]}.\n\n{textwrap.fill(self.explained, 110)}"

    def settings(self) -> type | None:
        """The schema of its `key=value` settings, if it has any."""
        return resolved(self.schema) if self.schema else None


TOOLS = (
    Tool(
        "status",
        "how far a run is: done, running, failed, rate, time left",
        "RUN",
        ("--json",),
        "Works while the job runs, from anywhere that sees the folder, and costs a few listings however large the run.",
        run="invertone.run_tools:status",
    ),
    Tool(
        "failed",
        "which units and items of a run failed, why, and the last traceback",
        "RUN",
        ("--json",),
        "Lists units that raised (failed), units whose worker died with nothing in hand (quarantined), and single items "
        "that have an error in place of a result: what could not be decoded or inverted, or killed or hung its worker.",
        run="invertone.run_tools:failed",
    ),
    Tool(
        "retry",
        "try again what failed, was quarantined or left out, and nothing else",
        "RUN",
        ("--dry-run", "--damaged"),
        "Runs the job again as run.json describes it, for those units alone. What never came to its turn is done by "
        "typing the job's own command again, and so is what lost a file. --damaged reads every file as `verify` does, "
        "removes the damaged ones and makes them again.",
        run="invertone.run_tools:retry",
    ),
    Tool(
        "verify",
        "read every shard, checkpoint and Parquet file and compare it with what was recorded",
        "PATH",
        ("--json",),
        "PATH is a run folder, a folder of shards or a checkpoint. Exit code 3 if anything is damaged or missing.",
        run="invertone.run_tools:verify",
    ),
    Tool(
        "report",
        "show runs in one HTML file, to look at and to listen to",
        "RUN…",
        ("--dry-run",),
        "RUN is the out of an eval (its table and figures), an infer (clips beside their reconstructions; several runs over "
        "the same shards are compared), a train (curves and samples), a generate or an ingest (clips). The file holds all "
        "that it shows and fetches nothing. Example: invertone report runs/table runs/latents out=report.html",
        run="invertone.run_tools:report",
        schema="invertone.eval.report.config:CONFIG",
        operands=("runs",),
    ),
)
"""Commands for the run folders of jobs."""

AT_ONCE = (
    Tool(
        "invert",
        "recover the latent of one recording, and what the generator makes of it",
        "FILE [OUT.wav]",
        (),
        "Takes the models that come with the package, unless others are named. Writes the reconstruction, the latent (.npy) "
        "and both in figures (.json), and shows scores beside those of silence and of random latents. "
        "Example: invertone invert seven.wav",
        run="invertone.infer.files.invert:run",
        schema="invertone.infer.files.config:INVERT",
        operands=("file", "out"),
    ),
    Tool(
        "decode",
        "make sound of latents, edited perhaps",
        "LATENTS",
        (),
        "LATENTS is what invert wrote, an array of your own, or the Parquet of an infer run. "
        "Example: invertone decode seven-inverted.npy out=again.wav",
        run="invertone.infer.files.decode:run",
        schema="invertone.infer.files.config:DECODE",
        operands=("latents",),
    ),
    Tool(
        "models",
        "the models that come with the package: list them, show a card, copy one, make one to give away",
        "[list|show|copy|pack] [MODEL]",
        (),
        "`show MODEL` prints its card, `copy MODEL out=FOLDER` makes it a checkpoint like any other, `pack RUN out=FOLDER` "
        "makes of a trained model what can be given away: half precision, without what only training needs, a card. Every key "
        "that takes a checkpoint takes shipped:FAMILY, for example generator=shipped:digits mapper=shipped:digits.",
        run="invertone.models.packing.job:run",
        schema="invertone.models.packing.config:CONFIG",
        operands=("action", "model"),
    ),
)
"""Commands for single files and models, done in this process without Ray."""


def tool_named(name: str) -> Tool | None:
    """The tool of that name, if there is one."""
    return next((each for each in (*TOOLS, *AT_ONCE) if each.name == name), None)
