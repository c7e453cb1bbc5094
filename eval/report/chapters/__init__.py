"""One module a kind of run: its chapter of the page."""
