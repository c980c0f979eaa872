"""Tests of benchmarks.tradeoff."""
