"""What a run predicts and how good that is: figures, calibration, plots, comparisons, and what it had seen before."""
