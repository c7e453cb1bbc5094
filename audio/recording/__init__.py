"""A recording of any format, rate and channel count → mono int16 at 16 kHz; or the reason why it is none."""
