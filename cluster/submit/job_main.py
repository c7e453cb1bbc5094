"""On the cluster: the first thing that a submitted job runs, and what its workers do first.

Runs with nothing but the standard library, for it says what is missing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from invertone.cluster import user_folder
from invertone.cluster.submit.pins import disagreement

SENT = "sent.json"
HOOK = "invertone.cluster.submit.job_main.find_work"
_ROOT = Path(__file__).parents[3]
_WORK = _ROOT / "work"


def main() -> int:
    """Compares versions, goes to the user's folder and becomes `invertone STAGE NAME …`. Returns 2 where versions differ."""
    sent = json.loads((_ROOT / SENT).read_text(encoding="utf-8"))
    wrong = disagreement(sent["python"], sent["pins"])
    if wrong:
        print(f"invertone: {wrong}", file=sys.stderr)
    else:
        _become_invertone(sent)
    return 2


def _become_invertone(sent: dict[str, Any]) -> NoReturn:
    """The same process goes on, so that it gets the signal to stop."""
    print(f"invertone {sent['invertone']} on the cluster, Python {sent['python']}", flush=True)
    os.chdir(_WORK)
    command = [sys.executable, "-m", "invertone", *sys.argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606 (our own module)


def find_work() -> None:
    """Ray calls this in every worker: the user's modules are found as on their machine."""
    user_folder.use(str(_WORK))


if __name__ == "__main__":
    sys.exit(main())
