"""The network: layers in a row, and the loop that trains them."""

import math

import numpy as np

from src.datasets.examples import dense
from src.errors import LaboratoryError
from src.numpy_network.data import Gather
from src.numpy_network.layers import DenseLayer
from src.numpy_network.losses import MeanSquaredError
from src.numpy_network.metrics import mse
from src.numpy_network.optimizer import SGD

ROWS_AT_ONCE = 1000  # predictions are made in parts of this size, so that memory stays small


class NeuralNetwork:
    """A feedforward network.

    epochs, batch_size: passes over the data, and examples per update; None: all of them.
    optimizer: an Optimizer; None: SGD(learning_rate, momentum), as on the slides. Other optimizers take other arguments,
        so they come ready made and with their own learning rate.
    loss: a LossFunction; metric: a function (y_true, y_pred) -> float of metrics.py; verbose: print both each epoch.
    seed: initial weights, shuffling and random layers follow from it. dtype: np.float32, or np.float64 to check gradients.

    history (after `fit`): {'loss', METRIC, and with validation data 'val_loss', 'val_METRIC': one float an epoch}.
    """

    def __init__(
        self,
        epochs=100,
        batch_size=128,
        optimizer=None,
        learning_rate=None,
        momentum=None,
        verbose=False,
        loss=None,
        metric=mse,
        seed=0,
        dtype=np.float32,
    ):
        if optimizer and (learning_rate is not None or momentum is not None):
            raise LaboratoryError(f"NeuralNetwork: learning_rate and momentum belong to SGD; give them to "
                                  f"{type(optimizer).__name__}(...) instead")  # fmt: skip
        self.epochs, self.batch_size, self.verbose = epochs, batch_size, verbose
        self.optimizer = optimizer or SGD(learning_rate or 0.01, momentum or 0.0)
        self.loss, self.metric = loss or MeanSquaredError(), metric
        self.seed, self.dtype, self.random = seed, dtype, np.random.default_rng(seed)
        self.layers, self.history = [], {}

    def add(self, layer):
        """Append a layer; the first one must know its input_shape, the others take it from the layer before."""
        if self.layers:
            layer.set_input_shape(self.layers[-1].output_shape())
        if layer.input_shape() is None:
            raise LaboratoryError(f"NeuralNetwork: the first layer, {layer.layer_name()}, needs its input shape; call "
                                  f"set_input_shape((features,)) before add")  # fmt: skip
        layer.passes_error_on = any(before.parameters() for before in self.layers)
        self.layers.append(layer)
        layer.initialize(self.optimizer, np.random.default_rng([self.seed, len(self.layers)]), self.dtype)
        return self

    # ---------------------------------------------------------------- one batch

    def forward_propagation(self, x, training=False):
        """Predictions [rows, units] for x [rows, features]: each layer's output is the next one's input."""
        for layer in self.layers:
            x = layer.forward_propagation(x, training)
        return x

    def backward_propagation(self, output_error):
        """All layers in reverse order: each makes dE/dX of dE/dY and keeps its gradients; then the weights are updated.

        output_error: dE/dY of the last layer, from `output_error`.
        """
        for layer in reversed(self.layers[:-1] if self.fused() else self.layers):
            output_error = layer.backward_propagation(output_error)
            if output_error is None:  # below the first weights nothing learns
                break
        for layer in self.layers:
            layer.update()

    def fused(self):
        """True where the loss has a joint formula with the output activation, such as cross-entropy with softmax.

        Then the error begins before that activation: the joint derivative (p - y) / rows is exact where the two separate
        ones would divide by a probability of nearly 0 and multiply by it again.
        """
        return isinstance(self.layers[-1], self.loss.fused_with)

    def output_error(self, y, predictions):
        """dE/dY where back-propagation begins: of the last layer, or of the one before it where that is `fused`."""
        loss = self.loss
        return loss.derivative_from_logits(y, predictions) if self.fused() else loss.derivative(y, predictions)

    def data_loss(self, y, predictions):
        """The loss of the batch just propagated forward, without penalties."""
        if self.fused():
            return self.loss.loss_from_logits(y, self.layers[-1].input)
        return self.loss.loss(y, predictions)

    def penalties(self):
        """What the weights themselves add to the loss."""
        return sum(layer.penalty() for layer in self.layers)

    def train_batch(self, x, y):
        """One update; (loss, metric) of the batch before it."""
        predictions = self.forward_propagation(x, training=True)
        before = self.data_loss(y, predictions) + self.penalties(), self.metric(y, predictions)
        self.backward_propagation(self.output_error(y, predictions))
        return before

    # ---------------------------------------------------------------- many batches

    def get_mini_batches(self, x, y, shuffle=True):
        """Yield (x, y) of batch_size rows each, the last one of what is left. Each is valid until the next is taken."""
        rows = len(y)
        if self.batch_size is None or self.batch_size >= rows:  # the order inside a batch does not matter
            yield dense(x), y
            return
        order = np.arange(rows, dtype=np.int32)
        if shuffle:
            order = self.random.permuted(order)
        take_x, take_y = Gather(x, self.batch_size), Gather(y, self.batch_size)
        for start in range(0, rows, self.batch_size):
            chosen = order[start : start + self.batch_size]
            yield take_x(chosen), take_y(chosen)

    def fit(self, dataset, validation=None, early_stopping=None, on_epoch=None):
        """Train on a Dataset and return the network; `history` holds the curves.

        validation: a Dataset scored after each epoch; early_stopping: an EarlyStopping; on_epoch(epoch from 1, {name:
        value}) is called after each. A loss that is no longer a number ends the training.
        """
        for part in filter(None, (dataset, validation)):
            self.check_targets(part.y)
        self.history = {}
        for epoch in range(1, self.epochs + 1):
            values = self.train_epoch(dataset, validation)
            for name, value in values.items():
                self.history.setdefault(name, []).append(value)
            if self.verbose:
                print(f"epoch {epoch}/{self.epochs}", *(f"{name} {value:.4f}" for name, value in values.items()))
            if on_epoch:
                on_epoch(epoch, values)
            if early_stopping:
                early_stopping.watch(epoch, values, self)
            if not math.isfinite(values["loss"]) or (early_stopping and early_stopping.stopped):
                break
        if early_stopping:
            early_stopping.restore(self)
        return self

    def check_targets(self, y):
        """Refuse targets of another shape than the predictions: NumPy would stretch [rows] to [rows, rows] in silence."""
        wanted = (len(y), *self.layers[-1].output_shape())
        if y.shape != wanted and not (y.ndim == 1 and self.loss.takes_labels):
            raise LaboratoryError(f"NeuralNetwork.fit: expected y of shape {wanted}, received {y.shape}; "
                                  f"one column is y[:, np.newaxis]")  # fmt: skip

    def train_epoch(self, dataset, validation=None):
        """One pass over the data; {name: value}. Loss and metric are means over the rows, each batch before its update."""
        totals = np.zeros(2)
        for x, y in self.get_mini_batches(dataset.x, dataset.y):
            totals += np.multiply(self.train_batch(x, y), len(y))
        loss, metric = (totals / len(dataset)).tolist()
        values = {"loss": loss, self.metric.__name__: metric}
        if validation is not None:
            values["val_loss"], values[f"val_{self.metric.__name__}"] = self.evaluate(validation)
        return values

    def evaluate(self, dataset):
        """(loss with penalties, metric) on a Dataset, as training would report them."""
        totals = np.zeros(2)
        for part in parts(len(dataset)):
            y, predictions = dataset.y[part], self.forward_propagation(dense(dataset.x[part]))
            totals += np.multiply((self.data_loss(y, predictions), self.metric(y, predictions)), len(y))
        loss, metric = (totals / len(dataset)).tolist()
        return loss + self.penalties(), metric

    def predict(self, x):
        """Outputs [rows, units] for x [rows, features]."""
        return np.concatenate([self.forward_propagation(dense(x[part])) for part in parts(x.shape[0])])

    def score(self, dataset):
        """The metric of the predictions on a Dataset."""
        return self.metric(dataset.y, self.predict(dataset.x))

    # ---------------------------------------------------------------- weights

    def dense_layers(self):
        return [layer for layer in self.layers if isinstance(layer, DenseLayer)]

    def get_weights(self):
        """The live arrays [weights, biases, weights, biases, ...], in the order of Keras's get_weights."""
        return [array for layer in self.dense_layers() for array in (layer.weights, layer.biases)]

    def set_weights(self, arrays):
        """Copy the values of such a list into the network. Raises LaboratoryError where number or shapes differ."""
        layers = self.dense_layers()
        if len(arrays) != 2 * len(layers):
            raise LaboratoryError(f"NeuralNetwork: expected {2 * len(layers)} arrays, weights and biases of each dense "
                                  f"layer, received {len(arrays)}")  # fmt: skip
        for layer, weights, biases in zip(layers, arrays[::2], arrays[1::2]):
            layer.set_weights(weights, biases)

    def save_weights(self, path):
        """Write the weights to a .npz file: arrays '0', '1', ... in the order of get_weights."""
        np.savez(path, **{str(number): array for number, array in enumerate(self.get_weights())})

    def load_weights(self, path):
        """Read what save_weights wrote into a network of the same layers. No code in the file is ever run."""
        with np.load(path, allow_pickle=False) as file:
            self.set_weights([file[str(number)] for number in range(len(file.files))])


def parts(rows):
    """Slices that cut so many rows into parts of ROWS_AT_ONCE."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, rows, ROWS_AT_ONCE)]
