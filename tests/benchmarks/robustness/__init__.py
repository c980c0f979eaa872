"""Tests of benchmarks.robustness."""
