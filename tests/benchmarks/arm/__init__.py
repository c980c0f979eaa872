"""Tests of benchmarks.arm."""
