"""python -m src.keras_names: write src/params/vocabulary.json, the names and arguments that the installed Keras knows.

A test compares the file with Keras.
"""

import inspect
import json

from src import command_line
from src.params.vocabulary import FILE, spelling

# What the product sets itself, or what changes nothing that an experiment could be about.
NOT_CONFIGURABLE = (
    "name",
    "dtype",
    "reduction",
    "seed",
    "loss_scale_factor",
    "input_axes",
    "output_axes",
    "exclude_layers",
)


def arguments_of(thing):
    """{argument: default, or 'required'} of a class or function, as plain JSON values."""
    found = {}
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        default = parameter.default
        if default is parameter.empty:
            found[parameter.name] = "required"
        elif default is None or isinstance(default, bool | int | float | str):
            found[parameter.name] = default
        else:
            found[parameter.name] = None
    return found


def collect():
    """Build the vocabulary from the installed Keras (slow: imports TensorFlow)."""
    import keras

    def classes(module, base, *leave_out):
        return {
            name: {key: value for key, value in arguments_of(thing).items() if key not in NOT_CONFIGURABLE}
            for name, thing in sorted(vars(module).items())
            if inspect.isclass(thing) and issubclass(thing, base) and thing is not base
            if name[0].isupper() and name not in leave_out
        }  # fmt: skip

    return {
        "optimizer": classes(keras.optimizers, keras.optimizers.Optimizer, "LossScaleOptimizer", "MultiOptimizer"),
        "loss": classes(keras.losses, keras.losses.Loss, "CTC", "Circle"),
        "activation": activations(keras),
        "initializer": classes(
            keras.initializers, keras.initializers.Initializer,
            "IdentityInitializer", "OrthogonalInitializer", "STFT", "STFTInitializer",
        ),
        "regularizer": classes(keras.regularizers, keras.regularizers.Regularizer),
        "constraint": classes(keras.constraints, keras.constraints.Constraint),
        "schedule": classes(keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    }  # fmt: skip


def activations(keras):
    """Activation functions; those with a layer of the same name also take that layer's arguments."""
    layers = {spelling(name): thing for name, thing in vars(keras.layers).items() if inspect.isclass(thing)}
    functions = {name for name, thing in vars(keras.activations).items() if inspect.isfunction(thing)}
    functions -= {"get", "serialize", "deserialize", "glu", "threshold"}
    return {
        function: arguments_of(layers[spelling(function)]) if spelling(function) in layers else {}
        for function in sorted(functions)
    }


def main():
    command_line.parser(__doc__, "python -m src.keras_names").parse_args()
    FILE.write_text(json.dumps(collect(), indent=1) + "\n")


if __name__ == "__main__":
    main()
