"""Speed and memory against floors and peers, always as a ratio within one run: machines are noisy."""
