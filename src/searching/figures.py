"""The figures of a search, drawn by Optuna: history, importance of each key, parallel coordinates, contour."""

import matplotlib.pyplot as plt
import optuna
from optuna.visualization import matplotlib as drawing

from src import plots
from src.searching import sampling
from src.searching.results import JOURNALS


def write(source, folder, name, metric):
    """Draw the search whose journals lie in `source` into `folder`; returns [(file name, caption)].

    A figure that Optuna cannot draw is left out: importance and contour need two keys and two results that differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    studies = [sampling.load_study(source / file) for file in JOURNALS if (source / file).exists()]
    found = []
    for file, draw, caption in drawings(studies, metric):
        with plt.rc_context():  # Optuna sets a style of its own for the whole process
            figure = draw().figure
            figure.set_size_inches(8, 5)
            figure.suptitle(f"{name}: {file.replace('_', ' ')}", fontsize=10)
            figure.tight_layout()
            plots.save(figure, folder / f"{file}.png")
        found.append((f"{file}.png", caption))
    return found


def drawings(studies, metric):
    """(file name, function that draws, caption) of each figure that these results allow."""
    study, several = studies[0], len(studies) > 1
    rival = " The random search had twice as many trials." if several else ""
    yield ("history", lambda: drawing.plot_optimization_history(studies if several else study, target_name=metric),
           f"Each trial, and the best {metric} so far.{rival}")  # fmt: skip
    if not comparable(study):
        return
    # In Optuna's own order, which changes from process to process, equally important keys would change places.
    keys = sorted({key for trial in finished(study) for key in trial.params})
    important = list(optuna.importance.get_param_importances(study, params=keys))
    yield ("parallel_coordinates", lambda: drawing.plot_parallel_coordinate(study, target_name=metric),
           f"A line for each trial, through its settings; the colour is its {metric}.")  # fmt: skip
    yield ("importance", lambda: drawing.plot_param_importances(study, params=keys, target_name=metric),
           f"How much each key decides about {metric} (PED-ANOVA, Watanabe et al. 2023).")  # fmt: skip
    if len(important) > 1:
        yield ("contour", lambda: drawing.plot_contour(study, params=important[:2], target_name=metric),
               f"{metric} over the two most important keys.")  # fmt: skip


def comparable(study):
    """Whether two finished trials differ in the result."""
    return len({trial.value for trial in finished(study)}) > 1


def finished(study):
    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
