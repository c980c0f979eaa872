"""Tests of edge.sources."""
