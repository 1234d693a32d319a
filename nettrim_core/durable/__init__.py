"""What outlives the process: results by what made them, and runs that can be carried on."""

from nettrim_core.durable.runs import Recording, Run, Runs, State
from nettrim_core.durable.store import Store

__all__ = ["Recording", "Run", "Runs", "State", "Store"]
