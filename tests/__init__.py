"""Tests: one folder for each part, `project` for what is true of all."""
