"""The notebook runs from its first cell to its last, and does what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from jupyter_client.manager import KernelManager
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    manager = KernelManager(kernel_name="python3")
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[0] = sys.executable
    folder = tmp_path / "work"
    folder.mkdir()
    NotebookClient(notebook, km=manager, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()

    def told(word: str) -> str:
        """What the cell printed that holds `word`."""
        cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and word in cell.source)
        return json.dumps([_plain(output) for output in cell.outputs])

    assert "three" in told("three.heard_again") and "feature_distance" in told("three.heard_again")
    assert "silence" in told("inverter.floors") and "three" in told("np.linspace") and "seven" in told("np.linspace")
    assert "label_name" in told("rows.to_pandas") and "image/png" in told("TSNE") and "audio" in told("Audio(edited")


def _plain(output: Any) -> Any:
    data = dict(output.get("data", {}))
    html = data.get("text/html", "")
    return [output.get("text", ""), *data, data.get("text/plain", ""), "audio" if "<audio" in html else html[:60]]
