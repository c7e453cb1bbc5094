"""Storage while servers and connections fail."""
