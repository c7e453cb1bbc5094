"""Single files, at once and without Ray."""
