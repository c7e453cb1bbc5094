"""Audio for those who have none: invented speech, and published corpora over HTTP."""
