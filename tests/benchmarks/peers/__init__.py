"""Tests of benchmarks.peers."""
