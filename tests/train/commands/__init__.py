"""Tests of train.commands."""
