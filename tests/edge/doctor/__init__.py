"""Tests of edge.doctor."""
