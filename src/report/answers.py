"""The assignments' questions, answered in sentences computed from the results. No answer is a fixed text.

Each function takes a Study's `Results` and returns (sentences, values); QUESTIONS maps the names used in params.yaml
to the question as the report asks it and the function that answers it.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.special import bdtr

from src import evaluation, wording
from src.params import EXECUTION
from src.report import tables
from src.wording import listing, number, percent, seconds, value


@dataclass
class Results:
    """All that the answers draw on."""

    rows: list[dict]  # one per experiment and repeat, see results.row_of
    histories: dict  # {(experiment, repeat): table of curves}
    metric: str  # accuracy or mse
    test_count: int
    samples: dict = field(default_factory=dict)  # {'training': (x, y), 'test': (x, y)}
    predictions: np.ndarray | None = None  # outputs of the chosen run on the test rows

    @property
    def finished(self):
        return [row for row in self.rows if row["status"] == "finished"]

    @property
    def chosen(self):
        return next((row for row in self.rows if row["chosen"]), None)

    @property
    def summary(self):
        return tables.summary(self.rows, self.metric)

    def show(self, figure):
        """A value of the metric, as text."""
        return percent(figure) if self.metric == "accuracy" else f"MSE {number(figure)}"


def answer(results, questions):
    """[{question, asked, answer, values}] for the study's questions."""
    if results.chosen is None:
        nothing = "No experiment finished, so there is nothing to answer from."
        return [{"question": name, "asked": QUESTIONS[name][0], "answer": nothing, "values": {}} for name in questions]
    found = []
    for name in questions:
        asked, function = QUESTIONS[name]
        sentences, values = function(results)
        found.append({"question": name, "asked": asked, "answer": " ".join(sentences), "values": values})
    return found


def how_long(results):
    """Epochs and seconds of the chosen network (mean over its seeds), and seconds of all trainings together."""
    chosen = next(entry for entry in results.summary if entry["chosen"])
    timed = [entry for entry in results.summary if entry["training_seconds"] is not None]
    slowest = max(timed, key=lambda entry: entry["training_seconds"])
    total = sum(row["training_seconds"] for row in results.finished)
    sentences = [
        f"The chosen network ({chosen['experiment']}) trained for {chosen['epochs_run']:.0f} epochs in "
        f"{seconds(chosen['training_seconds'])}.",
        f"All {len(results.finished)} trainings of the study took {seconds(total)} together; the longest experiment was "
        f"{slowest['experiment']} with {seconds(slowest['training_seconds'])}.",
    ]
    values = {"epochs": chosen["epochs_run"], "seconds": chosen["training_seconds"], "total_seconds": total}
    return sentences, values


def accuracy(results):
    """The chosen experiment on the test examples: mean and deviation over its seeds, 95 % interval of its best-validated run."""
    chosen, metric = results.chosen, results.metric
    entry = next(entry for entry in results.summary if entry["chosen"])
    mean, deviation = entry[f"test_{metric}"], entry[f"test_{metric}_deviation"]
    sentences = [f"On {results.test_count:,} test examples never used before, {entry['experiment']} reaches "
                 f"{results.show(mean)}" + (f" on average over {entry['repeats']} seeds (standard deviation "
                 f"{spread(results, deviation)})." if deviation is not None else ".")]  # fmt: skip
    values = {"mean": mean, "deviation": deviation}
    if metric == "accuracy":
        low, high = values["interval"] = chosen["test_accuracy_interval"]
        sentences.append(f"The 95 % interval of its best-validated run ({percent(chosen['test_accuracy'])}) is "
                         f"{percent(low)} to {percent(high)}.")  # fmt: skip
    return sentences, values


def spread(results, deviation):
    """A deviation of the metric as text: percentage points of an accuracy, the number itself of an error."""
    return f"{100 * deviation:.2f} points" if results.metric == "accuracy" else number(deviation, 2)


def confusion(results):
    """Which classes the chosen run knows best and worst, its most frequent mistakes, and whether the first is one-sided."""
    chosen = results.chosen
    if "confusion" not in chosen:
        return ["A regression has no confusion matrix."], {}
    classes = list(chosen["classes"])
    recall = {name: chosen["classes"][name]["recall"] for name in classes}
    easiest, hardest = max(recall, key=recall.get), min(recall, key=recall.get)
    pairs = evaluation.most_confused(chosen["confusion"], classes)
    sentences = [f"{easiest} is recognised best ({percent(recall[easiest], 1)} of its examples), {hardest} worst "
                 f"({percent(recall[hardest], 1)})."]  # fmt: skip
    if pairs:
        said = [f"{true} taken for {predicted} ({wording.times(count)})" for true, predicted, count in pairs]
        sentences.append(f"The most frequent mistakes are {listing(said)}.")
        sentences.append(asymmetry(np.array(chosen["confusion"]), classes, *pairs[0]))
    else:
        sentences.append("There is no mistake in it.")
    return sentences, {"recall": recall, "most_confused": pairs}


def asymmetry(counts, classes, true, predicted, count):
    """Whether the most frequent mistake happens both ways: two-sided sign test at 5 % (Dixon and Mood 1946, JASA 41:557)."""
    back = int(counts[classes.index(predicted), classes.index(true)])
    one_way = 2 * bdtr(min(count, back), count + back, 0.5) < 0.05
    verdict = "is one-sided" if one_way else "is not clearly one-sided"
    return f"The first {verdict}: the reverse happens {wording.times(back)}."


def overfitting(results):
    """Whether and from which epoch the chosen run over-fits, and which other experiments do; see evaluation.overfitting."""
    chosen = results.chosen
    found = {key: evaluation.overfitting(history) for key, history in results.histories.items()}
    mine = found[chosen["experiment"], chosen["repeat"]]
    if mine["overfits"]:
        verdict = (f"{chosen['experiment']} over-fits: its validation loss is lowest at epoch {mine['best_epoch']} of "
                   f"{mine['epochs']} and rises by {number(mine['rise'])} until the end "
                   f"({number(mine['slope'])} ± {number(mine['slope_error'], 2)} an epoch).")  # fmt: skip
    else:
        verdict = (f"{chosen['experiment']} does not over-fit: its validation loss is lowest at epoch {mine['best_epoch']} "
                   f"of {mine['epochs']} and ends {number(mine['rise'])} above that.")  # fmt: skip
    names = list(dict.fromkeys(name for name, _ in found))
    others = [name for name in names if name != chosen["experiment"] and found_majority(found, name)]
    tail = f"Of the other {len(names) - 1} experiments, {listing(others) or 'none'} over-fit{'s' if len(others) == 1 else ''}."
    side = "above" if mine["gap"] > 0 else "below"
    gap = f"At the end its validation loss lies {number(abs(mine['gap']))} {side} its training loss."
    sentences = [verdict, gap, *([tail] if len(names) > 1 else [])]
    return sentences, {f"{name}/{repeat}": facts for (name, repeat), facts in found.items()}


def found_majority(found, name):
    """Whether more than half of an experiment's repeats over-fit."""
    verdicts = [facts["overfits"] for (experiment, _), facts in found.items() if experiment == name]
    return sum(verdicts) > len(verdicts) / 2


def strategy(results):
    """How many experiments differ in which settings, and how the best was chosen."""
    varied = varied_settings(results.rows)
    settings = [f"{key} ({count} values)" for key, count in sorted(varied.items(), key=lambda item: -item[1])]
    sentences = [
        f"{len(results.summary)} experiments were trained, each under {tables.seeds(results.summary)}; they differ in "
        f"{listing(settings) or 'nothing'}.",
        f"The best one was chosen by its validation {results.metric}; the test examples were used once, afterwards, for all.",
    ]
    return sentences, varied


def varied_settings(rows):
    """{setting: how many values it takes} for the settings that differ between experiments."""
    configurations = [row["configuration"] for row in rows]
    keys = [key for key in configurations[0] if key not in EXECUTION]
    counts = {key: len({value(configuration[key]) for configuration in configurations}) for key in keys}
    return {key: count for key, count in counts.items() if count > 1}


def best_result(results):
    """What validation chose and what the test says of it, beside what choosing on the test would have claimed."""
    metric, sign = results.metric, 1 if results.metric == "accuracy" else -1
    finished = [entry for entry in results.summary if entry[f"test_{metric}"] is not None]
    chosen = next(entry for entry in finished if entry["chosen"])
    tempting = max(finished, key=lambda entry: sign * entry[f"test_{metric}"])
    sentences = [f"Validation chooses {chosen['experiment']} ({results.show(chosen[f'val_{metric}'])} there); on the test "
                 f"examples it reaches {results.show(chosen[f'test_{metric}'])}."]  # fmt: skip
    if tempting["experiment"] == chosen["experiment"]:
        sentences.append("Choosing on the test examples would have picked the same experiment.")
    else:
        gain = spread(results, abs(tempting[f"test_{metric}"] - chosen[f"test_{metric}"]))
        sentences.append(f"Choosing on the test examples would have claimed {results.show(tempting[f'test_{metric}'])} with "
                         f"{tempting['experiment']}: {gain} better, but not honestly.")  # fmt: skip
    values = {"chosen": chosen["experiment"], "test": chosen[f"test_{metric}"], "test_selected": tempting["experiment"],
              "test_selected_value": tempting[f"test_{metric}"]}  # fmt: skip
    return sentences, values


def learned(results):
    """The effect of each setting that alone tells two experiments apart, with its uncertainty; see single_changes."""
    effects = single_changes(results)
    if not effects:
        return ["No two experiments differ in a single setting, so no effect can be told apart."], {"effects": []}
    largest = largest_effects(effects)
    clear = [effect for effect in largest if is_clear(effect)]
    unclear = [effect["setting"] for effect in largest if not is_clear(effect)]
    sentences = [f"{len(effects)} pairs of experiments differ in one setting only, {len(largest)} settings in all."]
    if clear:
        sentences.append(f"What each setting did at most to the validation {results.metric}: "
                         f"{'; '.join(effect_text(results, effect) for effect in clear)}.")  # fmt: skip
    if unclear:
        sentences.append(
            f"No effect beyond the noise between seeds, or none that one seed could show: {listing(unclear)}."
        )
    return sentences, {"effects": effects}


def largest_effects(effects):
    """For each setting its largest clear effect, or its largest where none is clear; the largest setting first."""
    settings = dict.fromkeys(effect["setting"] for effect in effects)
    return [
        max((effect for effect in effects if effect["setting"] == name), key=lambda e: (is_clear(e), abs(e["gain"])))
        for name in settings
    ]


def is_clear(effect):
    """Whether an effect exceeds twice its uncertainty."""
    return effect["uncertainty"] is not None and abs(effect["gain"]) > 2 * effect["uncertainty"]


def effect_text(results, effect):
    """An effect of single_changes in words."""
    direction = "better" if effect["gain"] > 0 else "worse"
    return (f"{effect['setting']} {effect['from']} -> {effect['to']} ({effect['experiments'][0]} -> "
            f"{effect['experiments'][1]}) {spread(results, abs(effect['gain']))} {direction} "
            f"(± {spread(results, effect['uncertainty'])})")  # fmt: skip


def single_changes(results):
    """Pairs of experiments that differ in one setting: what it did to the validation metric, largest first.

    gain: better is positive; uncertainty: standard error of the difference of the means over repeats, or None.
    """
    metric, sign = results.metric, 1 if results.metric == "accuracy" else -1
    found = []
    for one, other in combinations([e for e in results.summary if e[f"val_{metric}"] is not None], 2):
        changed = [
            key for key in one["configuration"]
            if key not in EXECUTION and one["configuration"][key] != other["configuration"][key]
        ]  # fmt: skip
        if len(changed) == 1:
            deviations = [entry[f"val_{metric}_deviation"] for entry in (one, other)]
            counts = [entry["repeats"] - entry["failed"] for entry in (one, other)]
            known = None not in deviations
            found.append({
                "setting": changed[0],
                "from": setting(changed[0], one),
                "to": setting(changed[0], other),
                "experiments": [one["experiment"], other["experiment"]],
                "gain": sign * (other[f"val_{metric}"] - one[f"val_{metric}"]),
                "uncertainty": float(np.sqrt(sum(d**2 / n for d, n in zip(deviations, counts)))) if known else None,
            })  # fmt: skip
    return sorted(found, key=lambda effect: -abs(effect["gain"]))


def setting(key, entry):
    """A setting as text; layers as in the comparison table."""
    return entry["hidden_layers"] if key == "hidden_layers" else value(entry["configuration"][key])


def times(results):
    timed = [entry for entry in results.summary if entry["training_seconds"] is not None]
    ranked = sorted(timed, key=lambda entry: entry["training_seconds"] / entry["epochs_run"])
    fastest, slowest = ranked[0], ranked[-1]
    rate = {entry["experiment"]: entry["training_seconds"] / entry["epochs_run"] for entry in ranked}
    ratio = rate[slowest["experiment"]] / rate[fastest["experiment"]]
    sentences = [f"An epoch of {slowest['experiment']} takes {duration(rate[slowest['experiment']])}, one of "
                 f"{fastest['experiment']} {duration(rate[fastest['experiment']])}: {number(ratio, 2)} times as long."]  # fmt: skip
    best = max(timed, key=lambda entry: (1 if results.metric == "accuracy" else -1) * entry[f"val_{results.metric}"])
    sentences.append(f"The best on the validation rows, {best['experiment']}, needs {seconds(best['training_seconds'])} "
                     f"for {best['epochs_run']:.0f} epochs.")  # fmt: skip
    return sentences, {"seconds_per_epoch": rate}


def duration(figure):
    return seconds(figure) if figure >= 0.1 else f"{number(1000 * figure, 2)} ms"


def cures(results):
    """The first experiment of a study is its reference; what the others do to its over-fitting."""
    found = {key: evaluation.overfitting(history) for key, history in results.histories.items()}
    names = list(dict.fromkeys(name for name, _ in found))
    rises = {
        name: np.mean([facts["relative_rise"] for (one, _), facts in found.items() if one == name]) for name in names
    }
    epochs = {
        name: np.mean([facts["best_epoch"] for (one, _), facts in found.items() if one == name]) for name in names
    }
    reference, others = names[0], names[1:]
    sentences = [f"{reference} has its lowest validation loss at epoch {epochs[reference]:.0f} and ends "
                 f"{percent(rises[reference], 0)} above it."]  # fmt: skip
    better = sorted((name for name in others if rises[name] < rises[reference]), key=rises.get)
    worse = [name for name in others if rises[name] >= rises[reference]]
    if better:
        said = [f"{name} {percent(rises[name], 0)}" for name in better]
        sentences.append(f"Less over-fitting, by the same measure: {listing(said)}.")
    if worse:
        sentences.append(f"No cure: {listing(f'{name} {percent(rises[name], 0)}' for name in worse)}.")
    return sentences, {"relative_rise": rises, "best_epoch": epochs}


def mean_fact(found, name, key):
    """Mean of a fact of evaluation.overfitting over the repeats of an experiment."""
    return float(np.mean([facts[key] for (experiment, _), facts in found.items() if experiment == name]))


def fit(results):
    """Squared error of the chosen network inside and outside the intervals without training samples."""
    (x, _), (x_test, y_test) = results.samples["training"], results.samples["test"]
    dark = evaluation.dark_intervals(x[:, 0])
    error = (results.predictions - y_test)[:, 0] ** 2
    inside = np.any([(x_test[:, 0] > low) & (x_test[:, 0] < high) for low, high in dark], axis=0) if dark else error < 0
    said = listing(f"{number(low)} to {number(high)}" for low, high in dark) or "none"
    sentences = [f"The intervals without training samples are {said}."]
    values = {"dark_intervals": dark, "mse_lit": float(error[~inside].mean())}
    if inside.any():
        values["mse_dark"] = float(error[inside].mean())
        sentences.append(f"On the {inside.sum()} test samples inside them the chosen network's squared error is "
                         f"{number(values['mse_dark'])} on average, on the {(~inside).sum()} others "
                         f"{number(values['mse_lit'])}.")  # fmt: skip
    return sentences, values


def examples(results, count=10):
    """What the chosen network says of the first test examples."""
    y, predicted = results.samples["test"][1][:count], evaluation.labels_of(results.predictions)[:count]
    shares = evaluation.probabilities_of(results.predictions)[:count].max(1)
    classes = list(results.chosen["classes"])
    said = [f"{classes[guess]} ({percent(share, 0)})" for guess, share in zip(predicted, shares)]
    wrong = [
        f"the {position + 1}. is {classes[label]}" for position, label in enumerate(y) if label != predicted[position]
    ]
    sentences = [f"For the first {len(y)} test examples {results.chosen['experiment']} says {listing(said)}.",
                 f"{len(y) - len(wrong)} of them are right{': ' + listing(wrong) if wrong else ''}."]  # fmt: skip
    return sentences, {"predicted": [classes[guess] for guess in predicted], "true": [classes[label] for label in y]}


QUESTIONS = {
    "how_long": ("How long was the network trained?", how_long),
    "accuracy": ("How good is it on new examples?", accuracy),
    "confusion": ("What does the confusion matrix show?", confusion),
    "overfitting": ("Do the curves show over-fitting?", overfitting),
    "strategy": ("Which strategy was followed?", strategy),
    "best_result": ("What is the best result?", best_result),
    "learned": ("What was learned about the hyper-parameters?", learned),
    "times": ("How do the training times compare?", times),
    "cures": ("What cures the over-fitting?", cures),
    "fit": ("How good is the fit where no training sample lies?", fit),
    "examples": ("What does the best network say of the first test examples?", examples),
}
