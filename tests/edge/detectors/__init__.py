"""Tests of edge.detectors."""
