"""The cells of the matrix: an Airflow, a Python, and what else is installed beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
# The newest has the pins of `make test`; requirements/lock and requirements/lock-matrix write them.
PINS = {
    "3.1.8": REQUIREMENTS / "matrix" / "airflow-3.1.8.txt",
    "3.2.2": REQUIREMENTS / "matrix" / "airflow-3.2.2.txt",
    "3.3.2": REQUIREMENTS / "test.txt",
}


@dataclass(frozen=True)
class Cell:
    """One environment in which the tests run.

    :param name: such as ``3.1.8-py3.12``.
    :param python: such as ``3.12``.
    :param pins: hashed requirements; None takes the newest of everything that there is today.
    :param airflow_alone: it is there for its Airflow: another cell has its Python, and tests what knows no Airflow.
    """

    name: str
    python: str
    pins: Path | None
    airflow_alone: bool = False

    @property
    def is_older(self) -> bool:
        """Whether something newer than this cell's Airflow is tested too."""
        return self.pins is not None and self.pins.parent != REQUIREMENTS

    @property
    def home(self) -> Path:
        """The folder of its environment and its results."""
        return ROOT / "build" / "matrix" / self.name


CELLS = {
    cell.name: cell
    for cell in (
        *(
            Cell(f"{airflow}-py{python}", python, pins, airflow_alone=pins.parent != REQUIREMENTS)
            for airflow, pins in PINS.items()
            for python in PYTHONS
        ),
        # The lowest versions that pyproject.toml declares, and whatever was published last.
        Cell("lowest", PYTHONS[0], REQUIREMENTS / "matrix" / "lowest.txt"),
        Cell("newest", PYTHONS[-1], None),
    )
}
