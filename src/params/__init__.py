"""params.yaml -> validated, frozen configuration. Every key is checked here, once, before any work.

Nothing here imports TensorFlow or MLflow.
"""

from src.params.checking import check
from src.params.dataset import AnySource, Dataset, File, Source, Split
from src.params.experiment import EXECUTION, PER_LAYER, Augmentation, Convolution, EarlyStopping, Experiment
from src.params.file import Params, Workers
from src.params.loading import load, validate
from src.params.search import Choices, Objective, Range, Search
from src.params.study import MEASURES, Claim, Question, Study

__all__ = [
    "EXECUTION", "MEASURES", "PER_LAYER", "AnySource", "Augmentation", "Choices", "Claim", "Convolution", "Dataset", "EarlyStopping", "Experiment",
    "File", "Objective", "Params", "Question", "Range", "Search", "Source", "Split", "Study", "Workers", "check", "load", "validate",
]  # fmt: skip
