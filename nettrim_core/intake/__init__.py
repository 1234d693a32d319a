"""Files from strangers, read where they can do no harm: in a process of their own, with bounded memory and time, which
knows of no other visitor."""

from nettrim_core.intake.door import Door
from nettrim_core.intake.packing import zipped

__all__ = ["Door", "zipped"]
