"""Files of others, unchanged; see NOTICE."""
