"""A Keras 3 network read into a flat graph, rewritten by exact rules, and built again as what TFLite converts well."""
