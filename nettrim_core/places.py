"""Where the studio's files are: beside this package in a checkout, in a package of their own where it is installed."""

from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[1]
STUDIO = _BESIDE if (_BESIDE / "sample_models").is_dir() else _BESIDE / "nettrim_studio"
SAMPLE_MODELS = STUDIO / "sample_models"
RESULTS = STUDIO / "benchmarks" / "results"
