"""What a conversion says of itself: the contract inside the file, its report as JSON, table and HTML, its progress."""
