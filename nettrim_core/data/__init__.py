"""A user's data: from a file, a folder or Python to splits that a network can be pruned on."""

from nettrim_core.data.fits import Fit, fits
from nettrim_core.data.kinds import KINDS
from nettrim_core.data.options import DataOptions
from nettrim_core.data.preview import Preview, preview
from nettrim_core.data.rows import Data, Reading, load_data

__all__ = ["KINDS", "Data", "DataOptions", "Fit", "Preview", "Reading", "fits", "load_data", "preview"]
