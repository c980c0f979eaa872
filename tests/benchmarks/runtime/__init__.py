"""Tests of benchmarks.runtime."""
