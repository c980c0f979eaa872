"""Tests of convert.lowering."""
