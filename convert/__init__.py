"""From a trained Keras 3 model to one self-describing, checked TFLite file (``python -m convert``)."""
