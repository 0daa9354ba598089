"""Models where this library is not: files for other runtimes, checked in these."""

from keras_actrec.deploy.export import FORMATS, export

__all__ = ["FORMATS", "export"]
