"""What a worker can be asked to do, by name: a task takes a request and the workbench, and yields answers, all of them
plain data."""

from nettrim_core.tasks.behaviour import behaviour
from nettrim_core.tasks.budget import budget, sensitivity
from nettrim_core.tasks.check import check
from nettrim_core.tasks.files import files
from nettrim_core.tasks.lens import convergence, lens, one_neuron, removal
from nettrim_core.tasks.lessons import ball, storage, two_sets
from nettrim_core.tasks.recipe import recipe
from nettrim_core.tasks.sweeps import sweep
from nettrim_core.tasks.tuning import judge, rounds, tune

TASKS = {
    "behaviour": behaviour,
    "budget": budget,
    "sensitivity": sensitivity,
    "check": check,
    "files": files,
    "lens": lens,
    "neuron": one_neuron,
    "convergence": convergence,
    "removals": removal,
    "ball": ball,
    "storage": storage,
    "two_sets": two_sets,
    "sweep": sweep,
    "judge": judge,
    "recipe": recipe,
    "rounds": rounds,
    "tune": tune,
}
