"""Every figure of the papers in a config is where the paper prints it, and every figure of a paper's table is in its config:
row by row, column by column, ± by ±, with the papers' own text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from invertone.cluster.config.loading import load
from invertone.eval.config import CATALOGUE

Figures = dict[tuple[str, str], tuple[float, ...]]
"""By row and column as the paper names them: a figure, and its spread where it has one."""
PAPERS = {name: f"{name}_*.txt" for name in ("000", "002", "003", "004")}
NUMBER = r"\d+(?:\.\d+)?"


@pytest.fixture
def text(papers: Path) -> Callable[[str], str]:
    """The text of a paper by its number."""
    return lambda name: next(papers.glob(PAPERS[name])).read_text()


# --- the tables of Haque, Rana & Schuller: a caption, then a line per row


def haque(text: str, number: str, labels: list[str], columns: list[str]) -> Figures:
    """What table `number` prints. labels: of its rows, as printed; each stands for one line, whose cells are `columns`."""
    (block,) = re.findall(rf"^TABLE {number}: .*\n((?:[^\n]+\n)+?)(?=TABLE |\n|\Z)", text, re.MULTILINE)
    block = re.sub(
        rf"({NUMBER})±({NUMBER})plus-or-minus[\d.]*\\pm\s*\2", r"\1 ± \2", block
    )  # formulas come three times over
    block = re.sub(r"\s*±plus-or-minus\\pm\s*", " ± ", block)
    lines = [line for line in block.splitlines() if re.search(r"\d|-$", re.sub(r"\[\d+\]|S09", "", line))]
    found: Figures = {}
    assert len(lines) == len(labels), lines
    for label, line in zip(labels, lines, strict=True):
        assert line.startswith(label), (label, line)
        cells = re.findall(rf"{NUMBER}%?(?: ± {NUMBER})?|-", re.sub(r"^ *\[\d+\]", "", line.removeprefix(label)))
        assert len(cells) == len(columns), (cells, columns)
        for column, cell in zip(columns, cells, strict=True):
            if cell != "-":
                found[label, column] = tuple(float(each) for each in re.findall(NUMBER, cell))
    return found


def test_the_text_is_read_as_it_is_printed() -> None:
    """The shapes that figures have in the text of a page that was made of formulas."""
    printed = (
        "TABLE I: Of 10 digits.\nModel Name IS Score FID Score\nReal (Train Data) [11] 9.18 ±plus-or-minus\\pm 0.04 -\n"
        "GGAN [14] 7.24±0.05plus-or-minus7.240.057.24\\pm 0.05 25.75±0.10plus-or-minus25.750.1025.75\\pm 0.10\n"
        "TiFGAN [67] 5.97 26.7\nTABLE II: Another.\nA 1 2\n\nText, 3.\n"
    )
    found = haque(printed, "I", ["Real (Train Data)", "GGAN", "TiFGAN"], ["IS", "FID"])
    assert found == {
        ("Real (Train Data)", "IS"): (9.18, 0.04),
        ("GGAN", "IS"): (7.24, 0.05),
        ("GGAN", "FID"): (25.75, 0.10),
        ("TiFGAN", "IS"): (5.97,),
        ("TiFGAN", "FID"): (26.7,),
    }
    with pytest.raises(AssertionError):
        haque(printed, "I", ["Real (Train Data)", "GGAN"], ["IS", "FID"])
    with pytest.raises(AssertionError):
        haque(printed, "II", ["A"], ["IS"])


SHARES = ["1%", "2%", "3%", "4%", "5%", "100%"]
SCORES = {"inception_score": "IS", "frechet_logits": "FID"}
REAL = {"real (train)": "Real (Train Data)", "real (test)": "Real (Test Data)"}
READERS = {"real (train)": "Train Data", "real (test)": "Test Data"}
MODELS = ["CNN", "BiGAN", "GGAN", "GAAE"]
TABLE_I = [*REAL.values(), "TiFGAN", "WaveGAN", "SpecGAN", "Supervised BigGAN", "Unsupervised BigGAN", "GGAN", "GAAE"]
TABLE_II = [*REAL.values(), "Supervised BigGAN", "Unsupervised BigGAN", "GGAN", "GAAE"]
TABLE_III = ["IS SC09", "FID SC09", "IS NSynth", "FID NSynth"]
TABLE_IV = ["Train Data", "Supervised BigGAN", "GGAN", "GAAE", "GAAE + Train Data"]
TABLE_VI = [
    *READERS.values(),
    *("Unsupervised BigGAN", "Supervised BigGAN"),
    *("GGAN (Digit Guided)", "GAAE (Digit Guided)", "GAAE (Gender Guided)"),
]


@dataclass(frozen=True)
class Named:
    """How a config's rows and columns are called in the paper. row: those that have another name. grid: the column is in
    the row's name, as in `CNN 5 %`; scale: of our figures, for one of the paper's."""

    rows: Mapping[str, str]
    columns: Mapping[str, str]
    grid: bool = False
    scale: float = 1.0

    def figures(self, published: Mapping[str, Mapping[str, list[float]]]) -> Figures:
        found: Figures = {}
        for row, given in published.items():
            for column, values in given.items():
                label, head = self.rows.get(row, row), self.columns[column]
                if self.grid:
                    model, _, share = row.partition(" ")
                    label, head = share.replace(" ", ""), model if column == "accuracy" else head
                found[label, head] = tuple(round(self.scale * value, 6) for value in values)
        return found


ACCURACY = {"accuracy": "Accuracy"}
GIVEN = {"train data": "Train Data", "GAAE + train data": "GAAE + Train Data"}
GUIDED = {
    f"{model} ({kind} guided)": f"{model} ({kind.title()} Guided)" for model in MODELS for kind in ("digit", "gender")
}
HAQUE = {
    "I": ((TABLE_I, ["IS", "FID"]), {"haque-table1": Named(REAL, SCORES)}),
    "II": ((TABLE_II, ["IS", "FID"]), {"haque-table2": Named(REAL, SCORES)}),
    "III": (
        (SHARES, TABLE_III),
        {
            "haque-table3": Named({}, {ours: f"{name} SC09" for ours, name in SCORES.items()}, grid=True),
            "haque-table3-nsynth": Named({}, {ours: f"{name} NSynth" for ours, name in SCORES.items()}, grid=True),
        },
    ),
    "IV": ((TABLE_IV, ["Accuracy"]), {"haque-table4": Named(GIVEN, ACCURACY, scale=100)}),
    "V": ((TABLE_IV, ["Accuracy"]), {"haque-table5": Named(GIVEN, ACCURACY, scale=100)}),
    "VI": ((TABLE_VI, ["IS", "FID"]), {"haque-table6": Named(READERS | GUIDED, SCORES)}),
    "VII": ((SHARES, MODELS), {"haque-table7": Named({}, ACCURACY, grid=True, scale=100)}),
    "VIII": ((SHARES, MODELS), {"haque-table8": Named({}, ACCURACY, grid=True, scale=100)}),
}


def published(name: str) -> Mapping[str, Mapping[str, list[float]]]:
    found: Mapping[str, Mapping[str, list[float]]] = load(CATALOGUE, name, ["out=runs/table"]).published
    return found


@pytest.mark.parametrize("number", HAQUE)
def test_a_table_of_haque_et_al_is_whole(number: str, text: Callable[[str], str]) -> None:
    (labels, columns), configs = HAQUE[number]
    ours: Figures = {}
    for name, named in configs.items():
        ours |= named.figures(published(name))
    assert ours == haque(text("004"), number, labels, columns)


# --- the tables of Keyes et al. and of Bayat


METHODS = {"real": "Real", "gradient-text": "Gradient-based", "encoder": "Mapper", "hybrid-text": "Hybrid"}
MEASURES = {
    **{"inception_score": "IS", "frechet_logits": "FID", "waveform_mse": "MSE", "ssim": "SSIM", "accuracy": "Accuracy"},
}
LABELS = {
    **{"Fake": "Real", "Real": "Real", "Gradient-based": "Gradient-based"},
    **{"Inverse Mapping Model (ours)": "Mapper", "Encoder-based (ours)": "Mapper"},
    **{"Hybrid Method (ours)": "Hybrid", "Hybrid (ours)": "Hybrid"},
}


def in_columns(cells: Mapping[str, list[str]], columns: list[str]) -> Figures:
    found: Figures = {}
    for label, row in cells.items():
        assert len(row) == len(columns), (label, row)
        for column, cell in zip(columns, row, strict=True):
            numbers = tuple(float(each) for each in re.findall(NUMBER, cell))
            assert numbers or cell in ("-", ""), cell
            if numbers:
                found[LABELS[label], column] = (
                    tuple(round(each / 100, 6) for each in numbers) if "%" in cell else numbers
                )
    return found


def lines_of(text: str, lines: str, columns: list[str]) -> Figures:
    """A table that has a line per row, its cells between tabs; `lines` finds the table's lines."""
    (block,) = re.findall(lines, text)
    rows = [line.split("\t") for line in block.splitlines() if line.partition("\t")[0].strip() in LABELS]
    return in_columns({row[0].strip(): [*row[1:], *[""] * (len(columns) + 1 - len(row))] for row in rows}, columns)


def stacks_of(text: str, lines: str, columns: list[str]) -> Figures:
    """A table whose columns are printed one below the other: the rows' names, then a head and its figures for each column. A
    column that has fewer figures than rows lacks those of the first rows."""
    (block,) = re.findall(lines, text)
    labels, *stacks = [stack.splitlines() for stack in re.split(r"\n\s*\n", block.strip())]
    cells: dict[str, list[str]] = {label: [] for label in labels}
    assert len(stacks) == len(columns), stacks
    for stack in stacks:
        values = [line for line in stack if re.match(NUMBER, line)]
        assert values == stack[-len(values) :]
        for label, value in zip(labels, ["-"] * (len(labels) - len(values)) + values, strict=True):
            cells[label].append(value)
    return in_columns(cells, columns)


WITHOUT_FID, WHOLE = ["IS", "MSE", "SSIM"], ["IS", "FID", "MSE", "SSIM"]
UNTIL_BLANK = r"\n\n((?:[^\n]+\n)+)"
INVERSION: dict[str, tuple[str, str, Callable[[str, str, list[str]], Figures], str, list[str]]] = {
    "synthesised, first version": ("keyes-table1", "000", lines_of, r"\nTable 1: .*" + UNTIL_BLANK, WITHOUT_FID),
    "real, first version": (
        "keyes-table2",
        "000",
        lines_of,
        r"\nTable 2: .*" + UNTIL_BLANK,
        [*WITHOUT_FID, "Accuracy"],
    ),
    "synthesised, later version": (
        *("keyes-table1", "002", stacks_of),
        r"\nTable 1\. (?:[^\n]+\n)+\n((?s:.*?))\n\n3\.3\. ",
        WHOLE,
    ),
    "real, later version": (
        *("keyes-table2", "002", stacks_of),
        r"\nTable 2\. .*\n\n((?s:.*?))\n\nalternatives ",
        [*WHOLE, "Accuracy"],
    ),
    "synthesised, thesis": ("bayat-table3.1", "003", lines_of, r"\n((?:[^\n]+\n)+)\nTable 3\.1: ", WHOLE),
    "real, thesis": ("bayat-table3.2", "003", lines_of, r"\nTable 3\.2: .*" + UNTIL_BLANK, [*WHOLE, "Accuracy"]),
}


@pytest.mark.parametrize("table", INVERSION)
def test_a_table_of_inversions_is_whole(table: str, text: Callable[[str], str]) -> None:
    name, paper, read, lines, columns = INVERSION[table]
    ours = Named(METHODS, MEASURES).figures(published(name))
    theirs = read(text(paper), lines, columns)
    assert theirs == {key: value for key, value in ours.items() if key[1] in columns}
    assert set(MEASURES.values()) - set(columns) >= {key[1] for key in ours.keys() - theirs.keys()}


def test_the_table_of_deepfakes_is_whole(text: Callable[[str], str]) -> None:
    (block,) = re.findall(r"\nTable 3\. .*\n\n((?s:.*?))\n\n4\. CONCLUSION", text("002"))
    rows, *columns = [stack.splitlines() for stack in re.split(r"\n\s*\n", block.strip())]
    assert rows == ["Spectrograms", "Predicted Latent Vectors"]
    assert [head for head, *_ in columns] == ["Logistic Regression (%)", "SVM (%)"]
    theirs = {
        row: [float(column[at + 1]) for column in columns]
        for at, row in enumerate(["spectrogram", "unprojected latent"])
    }
    ours = {row: [round(100 * each, 6) for each in figures] for row, figures in published("keyes-table3").items()}
    assert ours == theirs and all(len(column) == 3 for column in columns)


# --- the tables of faces in Bayat's thesis


FACES = {
    "thesis-table2.1": (
        {
            "gradient-pictures": "Adam",
            "gradient-pictures-stochastic": "Stochastic Clipping",
            "encoder (unperceived)": "Pixel-ResNet(ours)",
            "encoder (mapper)": "Pixel-Perceptual ResNet(ours)",
        },
        r"\nModel\tPSNR\tFID\tCosine distance\tTime\n((?:[^\n]+\n)+)\nTable 2\.1: ",
        ["picture_psnr", "frechet_penultimate", "one_plus_cosine", "seconds"],
    ),
    "thesis-table2.2": (
        {
            "real": "Target",
            "encoder": "ResNet18",
            "gradient-pictures (gradient-200)": "Gradient descent (200 iterations)",
            "hybrid-pictures (hybrid-200)": "Hybrid (200 iterations)",
            "gradient-pictures (gradient-1000)": "Gradient descent (1000 iterations)",
            "hybrid-pictures (hybrid-1000)": "Hybrid (1000 iterations)",
        },
        r"\n\tRank1\tRank5\tRank10\tRank20\n((?:[^\n]+\n)+)\nTable 2\.2: ",
        ["rank_1", "rank_5", "rank_10", "rank_20"],
    ),
    "thesis-table2.3": (
        {
            "gradient-pictures-stochastic": "Gradient descent 200 iterations",
            "encoder": "ResNet-18 encoder (ours)",
            "hybrid-pictures": "Hybrid 50 iterations(ours)",
        },
        r"Table 2\.3: (?:[^\n]+\n)+\n\tMetric\t\t\nModel\tPSNR\tFID\tTime \(s\)\n((?:[^\n]+\n)+)",
        ["picture_psnr", "frechet_penultimate", "seconds"],
    ),
}
OF_FACES = 50
"""Whose seconds the thesis gives together."""


@pytest.mark.parametrize("name", FACES)
def test_a_table_of_faces_is_whole(name: str, text: Callable[[str], str]) -> None:
    labels, lines, columns = FACES[name]
    (block,) = re.findall(lines, text("003"))
    theirs = {
        line.split("\t")[0]: [float(each.rstrip("%")) for each in line.split("\t")[1:]] for line in block.splitlines()
    }
    factors = {
        column: OF_FACES if column == "seconds" else 100 if column.startswith("rank") else 1 for column in columns
    }
    figures = published(name)
    assert all(list(row) == columns for row in figures.values()), figures
    ours = {
        labels[row]: [round(figure * factors[column], 6) for column, (figure,) in each.items()]
        for row, each in figures.items()
    }
    assert ours == theirs
