"""What a run predicts and how good that is: figures with intervals, plots, comparisons, and what it had seen before."""
