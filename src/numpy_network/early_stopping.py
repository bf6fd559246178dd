"""Stop when validation no longer improves; the rules of keras.callbacks.EarlyStopping, which the tests compare."""

from dataclasses import dataclass, field


@dataclass
class EarlyStopping:
    """monitor: a name in the history; patience: epochs without an improvement of more than min_delta that are borne.

    mode: 'min', 'max', or 'auto' (accuracy is to grow, all else to shrink); epochs before start_from_epoch do not count.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: int = 0
    mode: str = "auto"
    restore_best_weights: bool = False
    start_from_epoch: int = 0
    best: float | None = None
    best_epoch: int = 0  # from 1; 0: none yet
    wait: int = 0
    stopped: bool = False
    best_weights: list = field(default_factory=list)

    def watch(self, epoch, values, network):
        """Look at the values of an epoch (from 1); `stopped` says afterwards whether training should end."""
        if epoch <= self.start_from_epoch:
            return
        self.wait += 1
        improved = self.improves(values[self.monitor])
        if improved or not self.best_epoch:
            self.keep(epoch, network)
        if improved:
            self.best, self.wait = values[self.monitor], 0
        elif self.wait >= self.patience and epoch > 1:
            self.stopped = True

    def improves(self, value):
        if self.best is None:
            return True
        grows = self.mode == "max" or (self.mode == "auto" and "accuracy" in self.monitor)
        return (value - self.best if grows else self.best - value) > self.min_delta

    def keep(self, epoch, network):
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = [weight.copy() for weight in network.get_weights()]

    def restore(self, network):
        """Give the network its best weights back, where restore_best_weights asks for it and there are any."""
        if self.best_weights:
            network.set_weights(self.best_weights)
