"""The published Net-Trim solver, transcribed: Aghasi, Abdi, Romberg 2020 (arXiv 1806.06457), Algorithm 1, in NumPy.

    U = (XX' + I)^-1 (X (Z - A)' + S - B),   Z = project(U'X + A),   S = soft(U + B, 1 / rho),
    A += U'X - Z,   B += U - S

In float64, without scaling of the data, warm starts or over-relaxation. It stops after a number of iterations; what
it then has is judged from outside, by the certificate of this project.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve

from nettrim_core.certificate import Certificate, certify
from nettrim_core.inputs import energies, matrix
from nettrim_core.problem import LayerProblem
from nettrim_core.response import response_set

RHO, ITERATIONS = 100.0, 2000  # the published settings
CHECK_EVERY = 20


class PublishedADMM:
    """One layer at one epsilon. ``scale`` multiplies X, Y and the radius, which leaves the solution as it is."""

    def __init__(self, problem: LayerProblem, epsilon: float, rho: float, scale: float = 1.0) -> None:
        self.rho, self.scale = rho, scale
        self.alive = problem.alive
        self.given, self.target = matrix(problem.X)[self.alive], response_set(problem, epsilon)
        self.X = self.given.numpy() * scale
        self.omega, self.off = self.target.omega.numpy(), ~self.target.omega.numpy()
        self.center = self.target.center.numpy() * scale
        self.radius = self.target.radius * scale
        N, M = len(self.X), len(self.center)
        self.factor = cho_factor(self.X @ self.X.T + np.eye(N))
        self.Z, self.A = np.zeros(self.center.shape), np.zeros(self.center.shape)
        self.S, self.B = np.zeros((N, M)), np.zeros((N, M))

    def iterate(self, times: int) -> None:
        for _ in range(times):
            U = cho_solve(self.factor, self.X @ (self.Z - self.A).T + self.S - self.B)
            response = U.T @ self.X
            Z = response + self.A
            offset = Z[self.omega] - self.center[self.omega]
            norm = np.linalg.norm(offset)
            Z[self.omega] = self.center[self.omega] + offset * min(1.0, self.radius / norm if norm > 0 else 1.0)
            Z[self.off] = np.minimum(Z[self.off], self.center[self.off])
            self.Z = Z
            V = U + self.B
            self.S = np.sign(V) * np.maximum(np.abs(V) - 1 / self.rho, 0.0)
            self.A += response - self.Z
            self.B += U - self.S

    def certificate(self) -> Certificate:
        multipliers = torch.from_numpy(self.rho * self.scale * self.A)
        return certify(self.given, self.target, torch.from_numpy(self.S), multipliers)


def tuned(problem: LayerProblem, epsilon: float, rho: float, tol: float, most: int = 20_000) -> tuple[int, Certificate]:
    """Iterations until the certificate is reached, on data scaled to the best of the ridge between scale and rho."""
    solver = PublishedADMM(problem, epsilon, rho, well_scaled(problem))
    done = 0
    while done < most:
        solver.iterate(CHECK_EVERY)
        done += CHECK_EVERY
        if solver.certificate().within(tol):
            break
    return done, solver.certificate()


def well_scaled(problem: LayerProblem) -> float:
    """A scale of the data with which rho of 3 to 10 serves well."""
    return 1 / (0.3 * float(energies(problem.X).max()) ** 0.5)
