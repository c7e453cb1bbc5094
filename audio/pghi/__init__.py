"""Phases from magnitudes: waveforms from spectrograms, at once and without torch."""
