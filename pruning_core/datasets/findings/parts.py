"""What the parts of a data set may be used for."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.datasets.findings.finding import Finding


@dataclass(frozen=True)
class MeasureOnly(Finding):
    """Images of a test part, of which some choose and the others report; none may train."""

    of: str
    choosing: int
    reporting: int
    way_out: str

    @property
    def sentence(self) -> str:
        return (
            f"These are {self.choosing + self.reporting:,} of the test images of {self.of}, for measuring only: "
            f"{self.choosing:,} to score, recalibrate and choose by, {self.reporting:,} others to report on. "
            f"{self.way_out}"
        )
