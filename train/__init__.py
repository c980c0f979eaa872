"""Training: data sets, augmentation, backbones, recipes, evaluation and plots, on any Keras 3 backend.

Second stage of four (edge <- train <- convert <- benchmarks): it turns labelled face pictures into a run folder
(``model.keras``, ``run.json``, ``history.csv``, plots) that ``python -m convert`` reads. It never imports TensorFlow;
Keras brings whatever backend ``KERAS_BACKEND`` names.
"""
