"""Peers: what a user would pick instead of this project's converter, measured in one run on one trained Keras model.

`exports` makes their files and `candidates` gathers them with ours; `runner` runs any TFLite file, `turns` times all of
them round by round, `measure` scores them; `record` keeps the figures and `table` shows them. `study` puts the steps in
a row for `python -m benchmarks peers`.
"""
