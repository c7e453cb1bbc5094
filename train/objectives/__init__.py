"""What each model is trained for: networks, phases, losses, weights."""
