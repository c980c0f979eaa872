"""Studies over records: accuracy against latency, in tables and plots whose every figure comes from a record.

The last of the project's four packages (edge <- train <- convert <- benchmarks). Our own files are measured by the
device, with `fer-edge benchmark ... --record FILE.json`; `peers` makes and measures what other converters give, and
`instructions` counts under emulation of a Raspberry Pi's core.
"""
