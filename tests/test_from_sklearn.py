"""Perceptrons of scikit-learn: the same predictions from a network of ours."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from torch import nn

from nettrim_core import METHODS, from_sklearn, load_bundle, prune, save_bundle

INPUTS = np.random.default_rng(0).standard_normal((200, 6))
CLASSES = {"two": np.array(["no", "yes"]), "three": np.array([7, 3, 5])}


def fitted(make: Any, labels: np.ndarray, **settings: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make(max_iter=15, random_state=0, **settings).fit(INPUTS, labels)


def outputs(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.from_numpy(INPUTS).float())


@pytest.mark.parametrize("activation", ["relu", "identity", "logistic", "tanh"])
@pytest.mark.parametrize("classes", CLASSES)
def test_a_classifier_predicts_the_same(classes: str, activation: str) -> None:
    names = CLASSES[classes]
    labels = names[np.digitize(INPUTS[:, 0] + INPUTS[:, 1] ** 2, [0.2, 1.5][: len(names) - 1])]
    estimator = fitted(MLPClassifier, labels, hidden_layer_sizes=(9, 5), activation=activation)
    logits = outputs(from_sklearn(estimator))
    assert logits.shape == (200, len(names))
    assert_allclose(logits.softmax(1).numpy(), estimator.predict_proba(INPUTS), atol=1e-5)
    assert_array_equal(estimator.classes_[logits.argmax(1).numpy()], estimator.predict(INPUTS))


@pytest.mark.parametrize("activation", ["relu", "identity", "logistic", "tanh"])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("hidden", [(9, 5), ()])
def test_a_regressor_predicts_the_same(hidden: tuple[int, ...], targets: int, activation: str) -> None:
    wanted = INPUTS[:, :targets] ** 2
    wanted = wanted[:, 0] if targets == 1 else wanted
    estimator = fitted(MLPRegressor, wanted, hidden_layer_sizes=hidden, activation=activation)
    found = outputs(from_sklearn(estimator))
    assert found.shape == (200, targets)
    assert_allclose(found.numpy().reshape(wanted.shape), estimator.predict(INPUTS), atol=1e-5)


def test_it_is_pruned_and_kept_as_a_bundle(tmp_path: Any) -> None:
    estimator = fitted(MLPClassifier, (INPUTS[:, 0] > 0).astype(int), hidden_layer_sizes=(9, 5))
    rows = torch.from_numpy(INPUTS).float(), torch.from_numpy(estimator.predict(INPUTS))
    save_bundle(tmp_path / "mine", from_sklearn(estimator), train=rows, validation=rows, test=rows)
    _, report = prune(load_bundle(tmp_path / "mine").model, rows[0], METHODS["magnitude"])
    assert [layer.name for layer in report.layers] == ["fc1", "fc2", "fc3"]
    assert [layer.relu for layer in report.layers] == [True, True, False]


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (MLPClassifier(), "a MLPClassifier without coefs_ .*: fit it first"),
        (make_pipeline(MLPClassifier()), "a Pipeline without coefs_ .*give that step itself"),
        (3, "a int without coefs_"),
        (fitted(MLPClassifier, np.stack([INPUTS[:, 0] > 0, INPUTS[:, 1] > 0], 1)), "several labels a sample"),
        (fitted(MLPRegressor, INPUTS[:, 0] ** 2, loss="poisson"), "outputs are 'exp' of its last layer's"),
        (SimpleNamespace(coefs_=[], intercepts_=[1]), "a SimpleNamespace without coefs_"),
        (SimpleNamespace(coefs_=[], intercepts_=[]), "a SimpleNamespace without coefs_"),
        (SimpleNamespace(coefs_=[1], intercepts_=[1], activation="swish"), "with the activation 'swish'; known: relu"),
        (
            SimpleNamespace(coefs_=[[[np.inf]]], intercepts_=[[1]], activation="relu", out_activation_="identity"),
            "fc1.weight contains NaN or infinite",
        ),
    ],
)
def test_what_is_no_fitted_perceptron_is_refused(estimator: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_sklearn(estimator)
