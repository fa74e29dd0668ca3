"""Other engines read what was loaded and published."""
