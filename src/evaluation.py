"""Predictions -> numbers. Plain data in, plain data out; knows neither TensorFlow, MLflow nor files."""

import numpy as np


def labels_of(predictions):
    """Predicted labels from network outputs [rows, units]; one unit means two classes, cut at 0.5."""
    return (predictions[:, 0] > 0.5).astype(int) if predictions.shape[1] == 1 else predictions.argmax(1)


def probabilities_of(predictions):
    """Outputs as one column a class: [rows, 1] of two classes becomes [1 - p, p]."""
    return np.hstack([1 - predictions, predictions]) if predictions.shape[1] == 1 else predictions


def classification(y, predictions, classes):
    """Test metrics of a classifier.

    y: labels [rows]; predictions: [rows, units]. Returns accuracy with its 95 % interval, confusion counts (rows: true
    class), precision, recall and F1 a class, and the area under the ROC curve (one class against the others, mean).
    """
    from sklearn import metrics  # a second that the report does not need

    predicted, numbers = labels_of(predictions), range(len(classes))
    accuracy = float(np.mean(predicted == y))
    report = metrics.classification_report(
        y, predicted, labels=numbers, target_names=classes, output_dict=True, zero_division=0
    )
    return {
        "test_accuracy": accuracy,
        "test_accuracy_interval": wilson(accuracy, len(y)),
        "confusion": metrics.confusion_matrix(y, predicted, labels=numbers).tolist(),
        "classes": {name: {key: report[name][key] for key in ("precision", "recall", "f1-score")} for name in classes},
        "test_auc": float(np.mean([auc for _, _, auc in roc(y, predictions, classes).values()])),
    }


def regression(y, predictions):
    """Test metrics of a regression; y and predictions [rows, targets]."""
    from sklearn import metrics

    return {
        "test_mse": float(metrics.mean_squared_error(y, predictions)),
        "test_mae": float(metrics.mean_absolute_error(y, predictions)),
        "test_r2": float(metrics.r2_score(y, predictions)),
    }


def dark_intervals(x):
    """The gaps between neighbouring inputs that are far wider than chance leaves them: [(low, high)].

    A gap counts when it exceeds ten times the median gap and a twentieth of the range.
    """
    x = np.sort(x)
    gaps = np.diff(x)
    wide = np.flatnonzero((gaps > 10 * np.median(gaps)) & (gaps > 0.05 * (x[-1] - x[0])))
    return [(float(x[i]), float(x[i + 1])) for i in wide]


def wilson(rate, count, z=1.959964):
    """95 % confidence interval of a rate of `count` trials (Wilson 1927, JASA 22:209), as [low, high]."""
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return [float(max(0.0, centre - half)), float(min(1.0, centre + half))]


def roc(y, predictions, classes):
    """{class: (false positive rate, true positive rate, area)} of each class against the others."""
    from sklearn import metrics

    curves = {}
    for number, name in enumerate(classes):
        false_positive, true_positive, _ = metrics.roc_curve(y == number, probabilities_of(predictions)[:, number])
        curves[name] = false_positive, true_positive, float(metrics.auc(false_positive, true_positive))
    return curves


def confident_mistakes(y, predictions, count):
    """Positions of the `count` wrong predictions with the highest output, most confident first."""
    predicted, probabilities = labels_of(predictions), probabilities_of(predictions)
    wrong = np.flatnonzero(predicted != y)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:count]


def most_confused(confusion, classes, count=3):
    """The largest off-diagonal cells: [(true class, predicted class, how often)], largest first."""
    cells = np.array(confusion)
    np.fill_diagonal(cells, 0)
    order = np.argsort(-cells, axis=None, kind="stable")[:count]
    found = [(classes[i], classes[j], int(cells[i, j])) for i, j in zip(*np.unravel_index(order, cells.shape))]
    return [cell for cell in found if cell[2]]


def overfitting(history):
    """Does a training over-fit? From its curves {loss, val_loss: one value an epoch}.

    best_epoch: where val_loss is smallest (from 1); gap: val_loss - loss at the end; rise: how far val_loss ends above
    its minimum (relative_rise: as a share of it); slope: of val_loss an epoch after the minimum, with its standard error. It over-fits when val_loss has
    risen by more than 5 % of its minimum and the slope is positive by more than two standard errors.
    """
    loss, validation = np.asarray(history["loss"]), np.asarray(history["val_loss"])
    best = int(np.argmin(validation))
    after = validation[best:]
    slope, error = slope_of(after) if len(after) >= 5 else (0.0, 0.0)
    rise = float(validation[-1] - validation[best])
    return {
        "best_epoch": best + 1,
        "epochs": len(validation),
        "gap": float(validation[-1] - loss[-1]),
        "rise": rise,
        "relative_rise": rise / abs(validation[best]),
        "slope": slope,
        "slope_error": error,
        "overfits": bool(rise > 0.05 * abs(validation[best]) and slope > 2 * error),
    }


def slope_of(values):
    """Least-squares slope of values against their position, and its standard error."""
    (slope, _), covariance = np.polyfit(np.arange(len(values)), values, 1, cov=True)
    return float(slope), float(np.sqrt(max(0.0, covariance[0, 0])))


def choose(rows, metric):
    """The experiment that validation prefers, and its best repeat.

    rows: dicts with experiment, repeat, status and val_METRIC; failed ones are left out. The experiment with the best
    mean over its repeats wins (highest accuracy, lowest mse; the first listed among equals). None if all failed.
    """
    sign = -1 if metric == "accuracy" else 1
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        return None
    names = list(dict.fromkeys(row["experiment"] for row in finished))
    values = {name: [row[f"val_{metric}"] for row in finished if row["experiment"] == name] for name in names}
    best = min(names, key=lambda name: sign * np.mean(values[name]))
    return min((row for row in finished if row["experiment"] == best), key=lambda row: sign * row[f"val_{metric}"])
