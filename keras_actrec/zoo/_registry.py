"""Models by name."""

import inspect

from keras_actrec._suggest import did_you_mean
from keras_actrec.errors import UserError

_BUILDERS = {}


def register(builder):
    """Make `builder` known to `build` and `list_models` under its own name."""
    name = builder.__name__
    if name in _BUILDERS:
        raise ValueError(f"A model is called {name!r} already: {_BUILDERS[name].__module__}")
    _BUILDERS[name] = builder
    return builder


def list_models():
    """Return the names of all models, sorted."""
    return sorted(_BUILDERS)


def builder(name):
    """Return the function that builds the model called `name`."""
    if name not in _BUILDERS:
        raise UserError(
            f"There is no model {name!r}.{nearest(name, _BUILDERS)} There are: {', '.join(list_models())}"
        )
    return _BUILDERS[name]


def build(name, num_classes, **arguments):
    """Build a model by name: `build("hman", num_classes=51, units=512)`.

    Returns:
        An uncompiled `keras.Model`.

    Raises:
        UserError: for an unknown name or argument, with the nearest one there is.
    """
    check_arguments(name, arguments)
    return builder(name)(num_classes, **arguments)


def check_arguments(name, arguments):
    """Check a model's name and the names of its arguments without building it.

    Raises:
        UserError: for an unknown name or argument, with the nearest one there is.
    """
    known = arguments_of(name)
    for argument in arguments:
        if argument not in known:
            raise UserError(
                f"{name} has no argument {argument!r}.{nearest(argument, known)} It has: {', '.join(known)}"
            )


def arguments_of(name):
    """Return the arguments of a model without `num_classes`: a dict from names to defaults."""
    parameters = inspect.signature(builder(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key != "num_classes"}


def nearest(name, names):
    """` Did you mean 'x'?`, or nothing where no name is near."""
    hint = did_you_mean(name, names, otherwise="")
    return f" D{hint[1:]}" if hint else ""
