"""The compiled-epoch trainer: Keras semantics, but whole epochs (or blocks of short ones) inside one XLA program.

`keras.Model.fit` returns to Python for every batch, which costs more than the arithmetic of a small network. Here the
data stay in memory as tensors, and shuffled row numbers go in, the curves of a block of epochs come out. Model, optimizer,
loss and metric are Keras's own objects, called as `keras.Model.train_step` calls them.
"""

import functools
import math
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from src.datasets.examples import dense
from src.training import graph_operations, operations
from src.training.augmentation import augment

STEPS_PER_BLOCK = 500  # short epochs run in blocks of about this many steps: dispatch is paid once a block
TAKE_LABELS = ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy")
VALIDATION_BATCH = 1000  # rows scored at once, so that memory stays small


@dataclass
class Data:
    """Arrays of one experiment: x as it is on disk (an array, or CSR), y as `encode_targets` makes it."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


@dataclass
class Training:
    """What a training left behind, beside the weights in the model."""

    history: dict[str, list[float]]  # loss, METRIC, val_loss, val_METRIC: one value an epoch
    epoch_ends: list[float]  # seconds since the Unix epoch (interpolated inside a block)
    started: float
    seconds: float
    kept_epoch: int  # the epoch (from 1) whose weights the model holds
    stopped_early: bool = False
    failure: str = ""
    compiled_with: str = "XLA"


def encode_targets(y, loss_name, units):
    """Targets in the form the loss takes.

    Losses of TAKE_LABELS take labels [rows]; one output unit takes 0/1 as float32 [rows, 1]; others one-hot float32
    [rows, units]. Regression targets [rows, units] stay as they are.
    """
    if y.ndim == 2 or loss_name in TAKE_LABELS:
        return y
    return y.astype(np.float32)[:, None] if units == 1 else np.eye(units, dtype=np.float32)[y]


def metric_of(task, y):
    """(name, function of targets and predictions giving one value a row) for encoded targets y."""
    if task == "regression":
        return "mse", keras.metrics.mean_squared_error
    if y.ndim == 1:
        return "accuracy", keras.metrics.sparse_categorical_accuracy
    return "accuracy", keras.metrics.binary_accuracy if y.shape[1] == 1 else keras.metrics.categorical_accuracy


def train(program, experiment, on_block=None):
    """Train the program's model in place and return a Training.

    experiment supplies epochs, seed and early_stopping. on_block(epochs done, last values) is called after each block.
    A loss that is no longer a number ends the training and is recorded as a failure.
    """
    started = time.time()
    stopping = Stopping(experiment.early_stopping)
    random = np.random.default_rng(experiment.seed)
    curves, ends, failure = [], [started], ""
    while len(curves) < experiment.epochs and not stopping.stopped and not failure:
        first, count = len(curves), min(program.block, experiment.epochs - len(curves))
        orders = shuffled(random, program.rows, program.block)
        before = program.state() if experiment.early_stopping else None
        repeat = functools.partial(program.repeat, before, orders, first, experiment.seed)
        values = program(orders, first, count, experiment.seed)
        failure = not_a_number(values, first)
        kept = stopping.watch(dict(zip(program.names, values.T)), first, repeat)
        curves.extend(values[:kept].tolist())
        ends.extend(np.linspace(ends[-1], time.time(), kept + 1)[1:].tolist())
        if on_block:
            on_block(len(curves), dict(zip(program.names, curves[-1])))
    kept_epoch = stopping.restore() or len(curves)
    program.optimizer.finalize_variable_values(program.model.trainable_variables)
    return Training(
        history={name: [values[index] for values in curves] for index, name in enumerate(program.names)},
        epoch_ends=ends[1:],
        started=started,
        seconds=time.time() - started,
        kept_epoch=kept_epoch,
        stopped_early=stopping.stopped,
        failure=failure,
        compiled_with=program.compiled_with,
    )


def shuffled(random, rows, epochs):
    """One permutation of the rows per epoch: int32 [epochs, rows]."""
    return random.permuted(np.tile(np.arange(rows, dtype=np.int32), (epochs, 1)), axis=1)


def not_a_number(values, first):
    """'' or why training cannot go on: the loss (first column) of an epoch is infinite or not a number."""
    bad = np.flatnonzero(~np.isfinite(values[:, 0]))
    return f"the loss was {values[bad[0], 0]} in epoch {first + bad[0] + 1}" if len(bad) else ""


def batch_rows(experiment, rows):
    """Rows of a batch: the experiment's batch_size, at most all rows."""
    return rows if experiment.batch_size == "full" else min(experiment.batch_size, rows)


def block_length(experiment, rows):
    """Epochs of a block: as many as make about STEPS_PER_BLOCK steps, at least one."""
    return min(experiment.epochs, max(1, STEPS_PER_BLOCK // math.ceil(rows / batch_rows(experiment, rows))))


class EpochProgram:
    """A block of epochs as one compiled function; calling it trains the model and returns the block's curves.

    metric: (name, function), see `metric_of`; experiment supplies batch_size, epochs, augmentation and whether weights
    decay. Trainings that differ in numbers only use one program: `load` gives it other rows of the same shapes, `adopt`
    new initial weights, another learning rate and weight decay, and nothing is compiled again.
    """

    def __init__(self, model, optimizer, loss, metric, data, experiment):
        self.model, self.optimizer, self.loss, self.metric = model, optimizer, loss, metric[1]
        self.names = ["loss", metric[0], "val_loss", f"val_{metric[0]}"]
        self.rows, self.augmentation = len(data.y_train), experiment.augmentation
        self.batch = batch_rows(experiment, self.rows)
        self.block = block_length(experiment, self.rows)
        self.decays, self.weight_decay = experiment.weight_decay > 0, experiment.weight_decay
        self.tensors, self.loaded = None, None
        self.load(data)
        optimizer.build(model.trainable_variables)
        self.variables = [variable.value for variable in (*model.variables, *optimizer.variables)]
        # XLA's convolutions on a CPU take 50 times as long as those of the plain graph.
        convolves = any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
        self.compiled_with = "graph" if convolves else "XLA"
        self.faster = graph_operations.faster if convolves else operations.faster
        self.function = tf.function(self.epochs, jit_compile=not convolves)
        started = time.time()
        self(np.zeros((self.block, self.rows), np.int32), 0, 0, 0)  # compiles; no epoch, so nothing is trained
        self.compile_seconds = time.time() - started

    def load(self, data, key=None):
        """Bring the rows into memory as tensors, unless the rows of this key are there already."""
        if self.tensors is not None and self.loaded in (None, key):  # None: the rows the program was made with
            self.loaded = key
            return
        self.tensors = None  # free the old rows first
        parts = (data.x_train, data.y_train, data.x_validation, data.y_validation)
        self.tensors = [tf.constant(dense(part)) for part in parts]
        self.loaded = key

    def adopt(self, model, optimizer, weight_decay=0.0):
        """Begin again with the weights, random states, moments and rates of another model and optimizer of the same form."""
        optimizer.build(model.trainable_variables)
        self.set_state([variable.value for variable in (*model.variables, *optimizer.variables)])
        self.weight_decay = weight_decay

    def __call__(self, orders, first, count, seed):
        """Train `count` epochs numbered from `first` in the row orders [block, rows]; curves float32 [count, 4]."""
        arguments = [
            self.tensors,
            *map(tf.constant, (orders, first, count, seed)),
            tf.constant(self.weight_decay, tf.float32),
        ]
        try:
            with self.faster():  # it matters while the first call traces the function
                return self.function(*arguments).numpy()[:count]
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.InternalError) as error:
            if self.compiled_with != "XLA":
                raise
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"XLA cannot compile this network ({reason:.120}); a plain graph is used", stacklevel=2)
            self.compiled_with, self.faster, self.function = "graph", nullcontext, tf.function(self.epochs)
            return self(orders, first, count, seed)

    def epochs(self, tensors, orders, first, count, seed, weight_decay):
        self.x, self.y, self.x_validation, self.y_validation = tensors  # symbolic, while this is traced
        self.decay = weight_decay
        curves, index = tf.zeros((self.block, 4)), 0
        while index < count:  # not tf.range(count): XLA would compile anew for every count
            trained = self.train_epoch(orders[index], first + index, seed)
            values = tf.concat([trained, self.validate()], 0)
            curves = tf.tensor_scatter_nd_update(curves, [[index]], [values])
            index += 1
        return curves

    def train_epoch(self, order, epoch, seed):
        """Mean loss and metric over an epoch, weighted by rows as Keras weights them: float32 [2]."""
        if self.batch == self.rows:  # a full batch needs no order
            return self.train_batch(self.x, self.y, tf.stack([seed, epoch]))
        steps, rest, totals = self.rows // self.batch, self.rows % self.batch, tf.zeros(2)
        for step in tf.range(steps):
            chosen = tf.slice(order, [step * self.batch], [self.batch])
            totals += self.train_rows(chosen, tf.stack([seed, epoch * (steps + 1) + step])) * self.batch
        if rest:
            totals += self.train_rows(order[-rest:], tf.stack([seed, epoch * (steps + 1) + steps])) * rest
        return totals / self.rows

    def train_rows(self, chosen, draw):
        return self.train_batch(tf.gather(self.x, chosen), tf.gather(self.y, chosen), draw)

    def train_batch(self, x, y, draw):
        """One update; loss and metric of the batch before it: float32 [2]. draw: seed of the augmentation, int32 [2]."""
        x = tf.cast(x, tf.float32)
        if self.augmentation:
            x = augment(x, self.augmentation, draw)
        with tf.GradientTape() as tape:
            predictions = self.model(x, training=True)
            value = self.loss(y, predictions) + self.penalties()
        gradients = tape.gradient(value, self.model.trainable_variables)
        if self.decays:
            weights = self.model.trainable_variables
            gradients = [gradient + self.decay * weight for gradient, weight in zip(gradients, weights)]
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return tf.stack([value, tf.reduce_mean(self.metric(y, predictions))])

    def validate(self):
        """Loss and metric over the validation rows: float32 [2]."""
        rows, totals = self.y_validation.shape[0], tf.zeros(2)
        batch = validation_batch(rows)
        for step in tf.range(rows // batch):
            totals += self.score(step * batch, batch)
        if rows % batch:
            totals += self.score(rows - rows % batch, rows % batch)
        return totals / rows + tf.stack([self.penalties(), 0.0])

    def score(self, start, batch):
        x = tf.cast(
            tf.slice(self.x_validation, [start] + [0] * (self.x.ndim - 1), [batch, *self.x.shape[1:]]), tf.float32
        )
        y = tf.slice(self.y_validation, [start] + [0] * (self.y.ndim - 1), [batch, *self.y.shape[1:]])
        predictions = self.model(x, training=False)
        return tf.stack([self.loss(y, predictions), tf.reduce_mean(self.metric(y, predictions))]) * batch

    def penalties(self):
        """The sum of the layers' regularisation losses, which Keras adds to loss and val_loss alike."""
        return tf.add_n([tf.zeros(()), *self.model.losses])

    def state(self):
        """Copies of all weights, optimizer moments and random states."""
        return [variable.numpy() for variable in self.variables]

    def set_state(self, values):
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def repeat(self, state, orders, first, seed, count):
        """Return to `state` and run the first `count` epochs of a block again: the same numbers, bit for bit."""
        self.set_state(state)
        self(orders, first, count, seed)


def validation_batch(rows):
    """Rows scored at once: the largest divisor of `rows` up to VALIDATION_BATCH, so that one size is compiled."""
    divisor = max(size for size in range(1, VALIDATION_BATCH + 1) if rows % size == 0)
    return divisor if divisor >= VALIDATION_BATCH // 10 else min(rows, VALIDATION_BATCH)


@dataclass
class Stopping:
    """keras.callbacks.EarlyStopping over blocks of epochs.

    A block may run past the epoch at which Keras stops, or past the best one. Those weights come back by returning to
    the block's start and repeating its first epochs.
    """

    settings: object  # params.EarlyStopping or None
    best: float | None = None
    best_epoch: int = 0
    wait: int = 0
    stopped: bool = False
    replay: object = None

    def watch(self, curves, first, repeat):
        """Look at a block's curves; returns how many of its epochs count. repeat(n) leaves the model at its n-th."""
        count = len(curves["loss"])
        if self.settings is None:
            return count
        for index, current in enumerate(curves[self.settings.monitor].tolist()):
            self.look_at(current, first + index, functools.partial(repeat, index + 1))
            if self.stopped:
                if index + 1 < count:
                    repeat(index + 1)
                return index + 1
        return count

    def look_at(self, current, epoch, repeat):
        """One epoch, in the order of keras.callbacks.EarlyStopping.on_epoch_end."""
        if epoch < self.settings.start_from_epoch:
            return
        self.wait += 1
        if self.replay is None or self.improves(current):
            self.best_epoch, self.replay = epoch + 1, repeat
        if self.improves(current):
            self.best, self.wait = current, 0
        elif self.wait >= self.settings.patience and epoch > 0:
            self.stopped = True

    def improves(self, current):
        if self.best is None:
            return True
        higher = self.settings.mode == "max" or (self.settings.mode == "auto" and "accuracy" in self.settings.monitor)
        gain = current - self.best if higher else self.best - current
        return gain > self.settings.min_delta

    def restore(self):
        """Bring the best weights back where that was asked for; the epoch they belong to, or None."""
        if self.settings is None or not self.settings.restore_best_weights or self.replay is None:
            return None
        self.replay()
        return self.best_epoch


def outputs_and_loss(model, loss, x, y):
    """Outputs float32 [rows, units] of a model on x, and its loss against encoded targets y; penalties included."""
    batches = [dense(x[start : start + VALIDATION_BATCH]) for start in range(0, len(y), VALIDATION_BATCH)]
    outputs = np.concatenate([model(batch.astype(np.float32), training=False).numpy() for batch in batches])
    return outputs, float(loss(y, outputs)) + float(tf.add_n([tf.zeros(()), *model.losses]))
