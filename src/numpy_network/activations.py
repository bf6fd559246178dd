"""Activation functions as layers: no weights, so only the error has to be passed on.

An activation works on each number by itself (softmax excepted), so that dY/dX is one factor a number, and the chain rule
is an elementwise product: dE/dX = dE/dY · f'(X), all three of shape [rows, units].
"""

from abc import abstractmethod

import numpy as np

from src.numpy_network.layers import Layer


class ActivationLayer(Layer):
    """Y = f(X), elementwise."""

    @abstractmethod
    def activation_function(self, input):
        """f(X), shape of X."""

    @abstractmethod
    def derivative(self, input):
        """f'(X), shape of X."""

    def forward_propagation(self, input, training=False):
        self.input = input
        self.output = self.activation_function(input)
        return self.output

    def backward_propagation(self, output_error):
        """dE/dX = dE/dY · f'(X)."""
        return output_error * self.derivative(self.input)

    def output_shape(self):
        return self.input_shape()

    def parameters(self):
        return 0


class LinearActivation(ActivationLayer):
    """f(x) = x, for the output of a regression."""

    def activation_function(self, input):
        return input

    def derivative(self, input):
        return np.ones_like(input)


class ReLUActivation(ActivationLayer):
    """f(x) = max(x, 0).

    The slides give f'(0) = 1. At 0 the function has no derivative, and any value from 0 to 1 is a subgradient; here it
    is 0, as in Keras, so that both train alike.
    """

    def activation_function(self, input):
        return np.maximum(input, 0)

    def derivative(self, input):
        return (input > 0).astype(input.dtype)


class LeakyReLUActivation(ActivationLayer):
    """f(x) = x above 0, negative_slope · x below: a unit that is never positive still learns."""

    def __init__(self, negative_slope=0.2):
        self.negative_slope = negative_slope

    def activation_function(self, input):
        return np.where(input > 0, input, self.negative_slope * input)

    def derivative(self, input):
        return np.where(input > 0, input.dtype.type(1), input.dtype.type(self.negative_slope))


class ELUActivation(ActivationLayer):
    """f(x) = x above 0, alpha · (eˣ - 1) below. Clevert et al. (2016)."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def activation_function(self, input):
        return np.where(input > 0, input, self.alpha * np.expm1(np.minimum(input, 0)))

    def derivative(self, input):
        return np.where(input > 0, input.dtype.type(1), self.alpha * np.exp(np.minimum(input, 0)))


class SELUActivation(ActivationLayer):
    """f(x) = SCALE · ELU(x), with the constants that keep mean 0 and variance 1. Klambauer et al. (2017)."""

    ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805

    def activation_function(self, input):
        return self.SCALE * np.where(input > 0, input, self.ALPHA * np.expm1(np.minimum(input, 0)))

    def derivative(self, input):
        return self.SCALE * np.where(input > 0, input.dtype.type(1), self.ALPHA * np.exp(np.minimum(input, 0)))


class SigmoidActivation(ActivationLayer):
    """f(x) = 1 / (1 + e⁻ˣ), f' = f · (1 - f)."""

    def activation_function(self, input):
        """Only powers of e at most 1 are formed, so that no input, however large, overflows."""
        power = np.exp(-np.abs(input))
        return np.where(input >= 0, 1, power) / (1 + power)

    def derivative(self, input):
        value = self.activation_function(input)
        return value * (1 - value)


class TanhActivation(ActivationLayer):
    """f(x) = tanh x, f' = 1 - f²."""

    def activation_function(self, input):
        return np.tanh(input)

    def derivative(self, input):
        return 1 - np.tanh(input) ** 2


class SoftmaxActivation(ActivationLayer):
    """p_i = e^(x_i) / Σ_j e^(x_j) in each row: positive numbers that add up to 1, the classes' probabilities.

    The slides write f' = f · (1 - f). That is only the diagonal: each p_i depends on every x_j, through the sum, so that
    the derivative of one row is a matrix, dp_i/dx_j = p_i · (1[i = j] - p_j), and it is all needed.
    """

    def activation_function(self, input):
        """[rows, classes]. A row's largest number is taken off first, which changes nothing but lets nothing overflow."""
        powers = np.exp(input - input.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    def derivative(self, input):
        """The whole Jacobian of each row: [rows, classes, classes], entry [i, j] = dp_i/dx_j."""
        p = self.activation_function(input)
        return p[:, :, np.newaxis] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, np.newaxis, :])

    def backward_propagation(self, output_error):
        """dE/dx_j = Σ_i dE/dp_i · dp_i/dx_j = p_j · (dE/dp_j - Σ_i dE/dp_i · p_i), without forming the Jacobian."""
        p = self.output
        return p * (output_error - (output_error * p).sum(axis=1, keepdims=True))
