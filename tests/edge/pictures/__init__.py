"""Tests of edge.pictures."""
