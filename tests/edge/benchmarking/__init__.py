"""Tests of edge.benchmarking."""
