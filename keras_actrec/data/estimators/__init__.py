"""Readers of what pose estimators and others write, one tool a file.

Each takes what a file holds and gives a `Pose`, or raises a `ValueError` that says in one line what is wrong.
"""
