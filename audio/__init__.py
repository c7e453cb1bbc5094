"""A clip and its spectrogram: decode, resample, window, log-magnitude front end, distances."""
