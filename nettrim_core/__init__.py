"""Net-Trim and Layer-wise Optimal Brain Surgeon on any ReLU network, with proof.

from nettrim_core import NetTrim, load_bundle, prune
bundle = load_bundle("digits_mlp")
pruned, report = prune(bundle.model, bundle.calibration, NetTrim(epsilon=0.1), test=bundle.test)
"""

from nettrim_core.allocate import AccuracyDrop, MultiplyAdds, allocate
from nettrim_core.bundle import Bundle, load_bundle, sample_names, save_bundle
from nettrim_core.cascade import Cascade
from nettrim_core.classes import ClassAccuracy, by_class
from nettrim_core.evaluate import NOISE, Changes, Evaluation, Share, evaluate
from nettrim_core.export import export
from nettrim_core.finetune import Training, finetune
from nettrim_core.masks import masks_of
from nettrim_core.methods import ALPS, LOBS, METHODS, ExactOBS, Magnitude, NetTrim, SparseGPT, Wanda
from nettrim_core.problem import LayerProblem, LayerResult, Method, discrepancy, setting, sparsity
from nettrim_core.prune import prune
from nettrim_core.recipe import EPSILONS, coarse_to_fine
from nettrim_core.refit_masks import refit_masks
from nettrim_core.report import LayerReport, Report
from nettrim_core.rounds import Step, prune_rounds
from nettrim_core.seeds import Spread, over_seeds, prune_seeds, spread
from nettrim_core.sensitivity import sensitivity
from nettrim_core.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "ALPS",
    "EPSILONS",
    "LOBS",
    "METHODS",
    "NOISE",
    "AccuracyDrop",
    "Bundle",
    "Cascade",
    "Changes",
    "ClassAccuracy",
    "Evaluation",
    "ExactOBS",
    "LayerProblem",
    "LayerReport",
    "LayerResult",
    "Magnitude",
    "Method",
    "MultiplyAdds",
    "NetTrim",
    "Report",
    "Share",
    "SparseGPT",
    "Spread",
    "Step",
    "Training",
    "Wanda",
    "allocate",
    "by_class",
    "coarse_to_fine",
    "discrepancy",
    "evaluate",
    "export",
    "finetune",
    "load_bundle",
    "masks_of",
    "over_seeds",
    "prune",
    "prune_rounds",
    "prune_seeds",
    "refit_masks",
    "sample_names",
    "save_bundle",
    "sensitivity",
    "setting",
    "sparsity",
    "spread",
    "sweep",
]
