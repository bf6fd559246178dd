"""docs/params.md is what the code says today, and leaves no key out."""

from src import params, reference
from src.params import checking
from tests.conftest import ROOT


def reachable(model):
    """A model and all models that its fields mention, at any depth."""
    found, waiting = [], [model]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.append(current)
            waiting += [
                kind for field in current.model_fields.values() for kind in checking.models_in(field.annotation)
            ]
    return found


def test_the_committed_page_is_what_the_code_generates(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (ROOT / "docs/params.md").read_text() == reference.text(), "run `python -m src.reference`"


def test_every_section_of_the_file_is_on_the_page():
    shown = [model for models in reference.SECTIONS.values() for model in models]
    assert {model.__name__ for model in reachable(params.Params)} == {
        model.__name__ for model in [params.Params, *shown]
    }


def test_the_settings_of_an_experiment_are_explained_where_their_defaults_stand(monkeypatch):
    settings = reference.experiment_settings(ROOT / "params.yaml")
    assert set(settings) == set(params.Experiment.model_fields) - {"seed"}
    assert all(comment for _, comment in settings.values())
