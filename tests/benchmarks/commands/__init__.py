"""Tests of benchmarks.commands."""
