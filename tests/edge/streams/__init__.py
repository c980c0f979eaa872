"""Tests of edge.streams."""
