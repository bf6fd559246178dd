"""Layers, and the chain rule that trains them.

A network is a composition of functions, one a layer: the output Y of one is the input X of the next, and at the end
stands the loss E, one number. Training needs dE/dW, the change of E with every weight W. The chain rule gives it layer
by layer, from the last to the first. Each layer is told dE/dY, the change of E with its own output, and from that alone
(and from the input X it remembers) finds two things:

    dE/dX = dE/dY · dY/dX    the error it hands back: it is dE/dY of the layer before
    dE/dW = dE/dY · dY/dW    the gradient of its own weights, for the optimizer

No layer knows what comes before or after it. That is all of back-propagation; the rest of this file is two matrix
products. Everything works on a batch at once: `rows` examples, one a row of X.
"""

import copy
import math
from abc import ABC, abstractmethod

import numpy as np

from src.errors import LaboratoryError


class Layer(ABC):
    """A function with a forward and a backward direction.

    passes_error_on: False for the first layer with weights. Nothing below it learns, so nobody needs its dE/dX, which
    would cost as much as its dE/dW.
    """

    passes_error_on = True
    _input_shape = None

    @abstractmethod
    def forward_propagation(self, input, training=False):
        """Y [rows, *output_shape] for X [rows, *input_shape]. training: random layers act only then."""

    @abstractmethod
    def backward_propagation(self, output_error):
        """dE/dX, shape of X, from dE/dY, shape of Y, for the batch last propagated forward."""

    @abstractmethod
    def output_shape(self):
        """Shape of one example's output, without the rows."""

    @abstractmethod
    def parameters(self):
        """Number of numbers the layer learns."""

    def set_input_shape(self, shape):
        """shape: of one example, for a table (features,)."""
        self._input_shape = tuple(shape)

    def input_shape(self):
        return self._input_shape

    def layer_name(self):
        return type(self).__name__

    def initialize(self, optimizer, random, dtype):
        """Draw the weights. random: np.random.Generator, the layer's own. Here, as in `update`, there are none."""
        return

    def update(self):
        """Let the optimizer use the gradients of the last backward_propagation."""
        return

    def penalty(self):
        """What the layer's weights add to the loss (regularisation)."""
        return 0.0


class DenseLayer(Layer):
    """Y = X W + B: every output unit sees every input unit.

    X [rows, inputs], W (weights) [inputs, n_units], B (biases) [n_units], Y [rows, n_units].
    l1, l2: the loss grows by l1·Σ|W| + l2·ΣW² ("decay"), as Keras's L1L2 has it; biases are left free.
    """

    def __init__(self, n_units, input_shape=None, l1=0.0, l2=0.0):
        self.n_units, self.l1, self.l2 = n_units, l1, l2
        if input_shape is not None:
            self.set_input_shape(input_shape)

    def initialize(self, optimizer, random, dtype=np.float32):
        """Weights from Glorot's uniform distribution, biases zero; each gets a copy of the optimizer for its averages.

        Glorot and Bengio (2010): within ±√(6 / (inputs + outputs)) signals and errors keep their size from layer to
        layer, which the usual first try, uniform in ±0.5, does not do.
        """
        inputs = self.input_shape()[0]
        limit = math.sqrt(6 / (inputs + self.n_units))
        self.weights = random.uniform(-limit, limit, (inputs, self.n_units)).astype(dtype)
        self.biases = np.zeros(self.n_units, dtype)
        self.weights_error, self.biases_error = np.zeros_like(self.weights), np.zeros_like(self.biases)
        self.weights_optimizer, self.biases_optimizer = copy.deepcopy(optimizer), copy.deepcopy(optimizer)

    def set_weights(self, weights, biases):
        """Copy other values into the layer's arrays. Raises LaboratoryError where a shape differs."""
        for mine, theirs in ((self.weights, weights), (self.biases, biases)):
            if mine.shape != np.shape(theirs):
                raise LaboratoryError(
                    f"DenseLayer: expected an array of shape {mine.shape}, received {np.shape(theirs)}"
                )
            mine[...] = theirs

    def forward_propagation(self, input, training=False):
        """Y = X W + B, [rows, n_units]: y_j = b_j + Σ_i x_i w_ij for each row. B is added to every row."""
        self.input = input
        self.output = input @ self.weights
        self.output += self.biases
        return self.output

    def backward_propagation(self, output_error):
        """From dE/dY [rows, n_units] the three derivatives; dE/dW and dE/dB are kept for `update`, dE/dX is returned.

        w_ij reaches E only through y_j, and dy_j/dw_ij = x_i. Every row of the batch adds its part, which is what the
        inner dimension of the product sums over:

            dE/dW = Xᵗ dE/dY          [inputs, rows] · [rows, n_units] = [inputs, n_units], the shape of W

        b_j is added to y_j of every row, dy_j/db_j = 1 (the slides show one row; here the rows are summed):

            dE/dB = Σ_rows dE/dY      [n_units], the shape of B

        x_i reaches E through all y_j, dy_j/dx_i = w_ij:

            dE/dX = dE/dY Wᵗ          [rows, n_units] · [n_units, inputs] = [rows, inputs], the shape of X
        """
        np.matmul(self.input.T, output_error, out=self.weights_error)
        np.sum(output_error, axis=0, out=self.biases_error)
        self.add_penalty_gradient()
        return output_error @ self.weights.T if self.passes_error_on else None

    def add_penalty_gradient(self):
        """d(l1·Σ|W| + l2·ΣW²)/dW = l1·sign(W) + 2·l2·W; at W = 0, where |W| has no slope, sign is 0."""
        if self.l1:
            self.weights_error += self.l1 * np.sign(self.weights)
        if self.l2:
            self.weights_error += 2 * self.l2 * self.weights

    def update(self):
        """The slides' step 4, W ← W - α dE/dW, or what the optimizer makes of it.

        It stands apart from backward_propagation so that gradients can be looked at (and checked) before they are used.
        """
        self.weights_optimizer.update(self.weights, self.weights_error)
        self.biases_optimizer.update(self.biases, self.biases_error)

    def penalty(self):
        l1 = self.l1 * float(np.abs(self.weights).sum()) if self.l1 else 0.0
        return l1 + (self.l2 * float(np.vdot(self.weights, self.weights)) if self.l2 else 0.0)

    def output_shape(self):
        return (self.n_units,)

    def parameters(self):
        return (self.input_shape()[0] + 1) * self.n_units


class RandomLayer(Layer):
    """A layer that changes its input at random in training and leaves it alone afterwards. It learns nothing."""

    def initialize(self, optimizer, random, dtype=np.float32):
        self.random, self.dtype = random, dtype

    def output_shape(self):
        return self.input_shape()

    def parameters(self):
        return 0


class Dropout(RandomLayer):
    """Silences each unit with probability `rate` in training, so that none can rely on another.

    Srivastava et al. (2014). The survivors are multiplied by 1 / (1 - rate) ("inverted dropout"), so that the expected
    output is the same as without dropout and prediction needs no correction.
    """

    def __init__(self, rate):
        self.rate = rate

    def forward_propagation(self, input, training=False):
        """Y = X · mask, the mask 0 or 1 / (1 - rate) for each unit of each row; Y = X in prediction."""
        if not training:
            return input
        self.mask = (self.random.random(input.shape, self.dtype) >= self.rate).astype(self.dtype)
        self.mask *= 1 / (1 - self.rate)
        return input * self.mask

    def backward_propagation(self, output_error):
        """dE/dX = dE/dY · mask: a silenced unit had no part in E."""
        return output_error * self.mask


class GaussianNoise(RandomLayer):
    """Adds normal noise of standard deviation `deviation` in training."""

    def __init__(self, deviation):
        self.deviation = deviation

    def forward_propagation(self, input, training=False):
        if not training:
            return input
        return input + self.deviation * self.random.standard_normal(input.shape, self.dtype)

    def backward_propagation(self, output_error):
        """dE/dX = dE/dY: what is added does not depend on X."""
        return output_error
