"""Tests of convert.reporting."""
