"""Tests of edge.system."""
