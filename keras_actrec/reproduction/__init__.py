"""The papers' tables and figures: what each is made of, what stands of it, and how it is made again."""

from keras_actrec.reproduction.paper import Element, Paper, find_element, list_papers, read_paper
from keras_actrec.reproduction.standing import state
from keras_actrec.reproduction.work import Step, plan, reproduce

__all__ = [
    "Element",
    "Paper",
    "Step",
    "find_element",
    "list_papers",
    "plan",
    "read_paper",
    "reproduce",
    "state",
]
