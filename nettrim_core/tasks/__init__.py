"""What a worker can be asked to do, by name: a task takes a request and the workbench, and yields answers, all of them
plain data."""

from nettrim_core.tasks.check import check
from nettrim_core.tasks.files import files
from nettrim_core.tasks.lens import convergence, lens, one_neuron, removal
from nettrim_core.tasks.sweeps import sweep

TASKS = {
    "sweep": sweep,
    "files": files,
    "check": check,
    "lens": lens,
    "neuron": one_neuron,
    "convergence": convergence,
    "removals": removal,
}
