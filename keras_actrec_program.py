"""Imports `keras_actrec` without Keras, for the command line and for processes that only decode videos.

`import keras_actrec` loads Keras, which takes seconds and fails where no backend is installed. A process that
imports this module first gets the package without Keras, and loads Keras when it needs it. It lies next to
the package, not in it, because Python imports a package before the modules in it.
"""


def main() -> None:
    """Run the command line: what the program `keras-actrec` calls."""
    from keras_actrec.cli.main import main

    main()
