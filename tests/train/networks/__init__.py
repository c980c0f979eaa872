"""Tests of train.networks."""
