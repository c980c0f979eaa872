"""Tests of benchmarks.comparison."""
