"""Net-Trim and Layer-wise Optimal Brain Surgeon on any ReLU network, with proof.

from nettrim_core import NetTrim, load_bundle, prune
bundle = load_bundle("digits_mlp")
pruned, report = prune(bundle.model, bundle.calibration, NetTrim(epsilon=0.1), test=bundle.test)
"""

from nettrim_core.allocate import AccuracyDrop, MultiplyAdds, allocate
from nettrim_core.bundle import Bundle, load_bundle, sample_names, save_bundle
from nettrim_core.cascade import Cascade
from nettrim_core.classes import ClassAccuracy, by_class
from nettrim_core.conditioning import conditioning
from nettrim_core.costs import Costs, costs
from nettrim_core.data import Data, DataOptions, Fit, Preview, Reading, fits, load_data, preview
from nettrim_core.dead import Shrinking, Shrunk, without_dead
from nettrim_core.evaluate import NOISE, Changes, Evaluation, Share, evaluate
from nettrim_core.export import export
from nettrim_core.finetune import Training, finetune
from nettrim_core.formats import FORMATS, Format
from nettrim_core.formats.bitmask import load_compact
from nettrim_core.formats.csr import dense_state
from nettrim_core.formats.packed_masks import load_masks
from nettrim_core.formats.smaller import load_smaller
from nettrim_core.formats.torch_prune import prune_form
from nettrim_core.lens import convergence
from nettrim_core.lens import neuron as layer_neuron
from nettrim_core.lens import weights as layer_weights
from nettrim_core.masks import apply_masks, masks_of
from nettrim_core.methods import ALPS, LOBS, METHODS, ExactOBS, Magnitude, NetTrim, SparseGPT, Wanda
from nettrim_core.models import load_model
from nettrim_core.models.layer_list import layer_list
from nettrim_core.models.module import from_module
from nettrim_core.models.scikit_learn import from_sklearn
from nettrim_core.one_layer import layer_problem, prune_layer
from nettrim_core.outliers import outliers
from nettrim_core.plan import EPSILONS, Plan, coarse_to_fine
from nettrim_core.problem import LayerProblem, LayerResult, Method, discrepancy, setting, sparsity
from nettrim_core.prune import prune
from nettrim_core.recipes.carry_out import Outcome, carry_out
from nettrim_core.recipes.recipe import Budgeted, Recipe
from nettrim_core.recipes.replay import Replay, replay
from nettrim_core.reference import reference
from nettrim_core.refit_masks import refit_masks
from nettrim_core.removals import removals
from nettrim_core.report import LayerReport, Report, Retraining
from nettrim_core.rounds import Step, prune_rounds
from nettrim_core.seeds import Spread, over_seeds, prune_seeds, spread
from nettrim_core.sensitivity import sensitivity
from nettrim_core.sums import example_samples, response_sum
from nettrim_core.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "replay",
    "carry_out",
    "Retraining",
    "Replay",
    "Recipe",
    "Budgeted",
    "Plan",
    "Outcome",
    "ALPS",
    "EPSILONS",
    "FORMATS",
    "LOBS",
    "METHODS",
    "NOISE",
    "AccuracyDrop",
    "Bundle",
    "Cascade",
    "Changes",
    "ClassAccuracy",
    "Costs",
    "Data",
    "DataOptions",
    "Evaluation",
    "ExactOBS",
    "Fit",
    "Format",
    "LayerProblem",
    "LayerReport",
    "LayerResult",
    "Magnitude",
    "Method",
    "MultiplyAdds",
    "NetTrim",
    "Preview",
    "Reading",
    "Report",
    "Share",
    "Shrinking",
    "Shrunk",
    "SparseGPT",
    "Spread",
    "Step",
    "Training",
    "Wanda",
    "allocate",
    "apply_masks",
    "by_class",
    "coarse_to_fine",
    "conditioning",
    "convergence",
    "costs",
    "dense_state",
    "discrepancy",
    "evaluate",
    "example_samples",
    "export",
    "finetune",
    "fits",
    "from_module",
    "from_sklearn",
    "layer_list",
    "layer_neuron",
    "layer_problem",
    "layer_weights",
    "load_bundle",
    "load_compact",
    "load_data",
    "load_masks",
    "load_model",
    "load_smaller",
    "masks_of",
    "outliers",
    "over_seeds",
    "preview",
    "prune",
    "prune_form",
    "prune_layer",
    "prune_rounds",
    "prune_seeds",
    "reference",
    "refit_masks",
    "removals",
    "response_sum",
    "sample_names",
    "save_bundle",
    "sensitivity",
    "setting",
    "sparsity",
    "spread",
    "sweep",
    "without_dead",
]
