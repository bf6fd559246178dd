"""What is done with a gradient. One optimizer object serves one array of weights and keeps that array's averages.

`update(weights, gradient)` changes the weights in place, with no array made anew (at 100,000 weights that is half the
time), and returns them. The formulas are those of Keras 3, which the tests hold them against over 100 steps.
"""

import math
from abc import ABC, abstractmethod

import numpy as np


class Optimizer(ABC):
    """learning_rate: the size of a step, α on the slides. No average has a value before the first update."""

    def __init__(self, learning_rate):
        self.learning_rate, self.scratch = learning_rate, None

    def update(self, weights, gradient):
        """Take one step down: weights and gradient have one shape; weights change in place and are returned."""
        if self.scratch is None:
            self.scratch = np.zeros_like(weights)
            self.start(weights)
        weights -= self.step(gradient)
        return weights

    @abstractmethod
    def start(self, weights):
        """Set the running averages to zero, with the shape of the weights."""

    @abstractmethod
    def step(self, gradient):
        """What to take off the weights, in self.scratch."""


class SGD(Optimizer):
    """Stochastic gradient descent with the slides' retained gradient, a moving average of gradients:

        V ← β V + (1 - β) dE/dW        β: momentum; 0 is plain descent
        W ← W - α V

    Keras (with Polyak's original) lets the new gradient count whole: V ← β V + dE/dW. Its V is larger by the factor
    1 / (1 - β) and so are its steps. `like_keras` has that convention: same curve, α divided by 1 - β.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0):
        super().__init__(learning_rate)
        self.momentum = momentum

    @classmethod
    def like_keras(cls, learning_rate=0.01, momentum=0.0):
        """The optimizer that takes the steps of keras.optimizers.SGD(learning_rate, momentum); momentum below 1."""
        return cls(learning_rate / (1 - momentum), momentum)

    def start(self, weights):
        self.retained_gradient = np.zeros_like(weights)

    def step(self, gradient):
        if not self.momentum:
            return np.multiply(gradient, self.learning_rate, out=self.scratch)
        moving_average(self.retained_gradient, gradient, self.momentum, self.scratch)
        return np.multiply(self.retained_gradient, self.learning_rate, out=self.scratch)


class RMSProp(Optimizer):
    """Each weight has its own step length: the gradient is divided by its usual size. Tieleman and Hinton (2012).

        S ← β S + (1 - β) (dE/dW)²
        W ← W - α dE/dW / √(S + ε)

    The slides name 0.999 as the typical β. That is Adam's second one; Hinton's and Keras's is 0.9, the default here:
    S starts at 0, and nothing corrects for that, so a slow average would make the first steps some thirty times too long.
    """

    def __init__(self, learning_rate=0.001, beta=0.9, epsilon=1e-7):
        super().__init__(learning_rate)
        self.beta, self.epsilon = beta, epsilon

    def start(self, weights):
        self.retained_square = np.zeros_like(weights)

    def step(self, gradient):
        np.square(gradient, out=self.scratch)
        moving_average(self.retained_square, self.scratch, self.beta, self.scratch)
        np.add(self.retained_square, self.epsilon, out=self.scratch)
        np.sqrt(self.scratch, out=self.scratch)
        np.divide(gradient, self.scratch, out=self.scratch)
        return np.multiply(self.scratch, self.learning_rate, out=self.scratch)


class Adam(Optimizer):
    """Momentum and RMSProp together. Kingma and Ba (2015), in the form of the end of their section 2:

        V ← β₁ V + (1 - β₁) dE/dW
        S ← β₂ S + (1 - β₂) (dE/dW)²
        W ← W - α · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · V / (√S + ε)        t: number of the update, from 1

    The fraction makes up for averages that start at 0 and are too small at first.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        super().__init__(learning_rate)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def start(self, weights):
        self.retained_gradient, self.retained_square = np.zeros_like(weights), np.zeros_like(weights)
        self.updates = 0

    def step(self, gradient):
        self.updates += 1
        correction = math.sqrt(1 - self.beta_2**self.updates) / (1 - self.beta_1**self.updates)
        moving_average(self.retained_gradient, gradient, self.beta_1, self.scratch)
        np.square(gradient, out=self.scratch)
        moving_average(self.retained_square, self.scratch, self.beta_2, self.scratch)
        np.sqrt(self.retained_square, out=self.scratch)
        self.scratch += self.epsilon
        np.divide(self.retained_gradient, self.scratch, out=self.scratch)
        return np.multiply(self.scratch, self.learning_rate * correction, out=self.scratch)


def moving_average(average, value, beta, scratch):
    """average ← β average + (1 - β) value, in place; scratch is overwritten and may be value itself."""
    np.multiply(value, 1 - beta, out=scratch)
    average *= beta
    average += scratch
