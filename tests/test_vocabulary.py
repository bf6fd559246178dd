"""The names and arguments that params.yaml is checked against are those of the installed Keras."""

import json

from src import keras_names
from src.params import vocabulary


def test_the_vocabulary_is_that_of_the_installed_keras(tensorflow):
    assert json.loads(vocabulary.FILE.read_text()) == keras_names.collect(), "run: python -m src.keras_names"


def test_every_name_can_be_built_with_its_defaults(tensorflow):
    import keras

    from src.training.models import activation_layer, keras_object

    given = {"required": 1.0}
    modules = {"optimizer": keras.optimizers, "loss": keras.losses, "initializer": keras.initializers,
               "regularizer": keras.regularizers, "constraint": keras.constraints}  # fmt: skip
    for kind, module in modules.items():
        for name, arguments in vocabulary.VOCABULARY[kind].items():
            needed = {key: given["required"] for key, default in arguments.items() if default == "required"}
            assert keras_object(module, vocabulary.named(kind, {"name": name, **needed}))
    for name, arguments in vocabulary.VOCABULARY["activation"].items():
        assert activation_layer({"name": name}, "plain")
        assert activation_layer({"name": name, **arguments}, "with_arguments")
