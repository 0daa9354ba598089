"""`python -m keras_actrec` is the program `keras-actrec`."""

from keras_actrec.cli.main import main

main()
