"""Tests of the room of pictures."""
