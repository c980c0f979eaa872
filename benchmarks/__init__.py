"""Studies over records: accuracy against latency, in tables and plots whose every figure comes from a record.

The last of the project's four packages (edge <- train <- convert <- benchmarks). Nothing here measures anything: the
device does, with `fer-edge benchmark ... --record FILE.json`, and this package reads what it wrote.
"""
