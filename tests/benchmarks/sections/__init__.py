"""Tests of benchmarks.sections."""
