"""One loop for every objective: phases, updates, ranks, checkpoints, what is written down."""
