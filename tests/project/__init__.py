"""Tests of what is true of the whole project."""
