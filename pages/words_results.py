"""What the Results page says. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

INTRO = (
    "The experiments of the papers, measured again with this program: what each found, what it redoes, and where it "
    "had to differ. Below a table, pick one of its rows to see its point in the studio."
)
NONE = "No experiment has been measured here yet: `make results` does."
DIFFERS = "How it was done, and how that differs from the paper"
MADE = "How it was measured"
BANDS = "Bands: {}."
OPEN = "See it in the studio"
EXPERIMENT = "What was measured. Each has its tables and charts, and the command that measures it again."
GO = "Go to Explore with the network, the method and the tolerance of this row."
PICK = "The row of the table whose point is shown in the studio: its network, method and tolerance."
LABELS = 5  # cells of a row that tell it from others


def place(row: Sequence[str]) -> str:
    """A row by its first cells."""
    return ", ".join(cell for cell in row[:LABELS] if cell)
