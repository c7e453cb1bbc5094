"""Jobs for a Ray cluster: what travels, in which versions, and what can go wrong on the way."""
