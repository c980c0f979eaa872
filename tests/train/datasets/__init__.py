"""Tests of train.datasets."""
