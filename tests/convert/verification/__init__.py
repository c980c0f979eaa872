"""Tests of convert.verification."""
