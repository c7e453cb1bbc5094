"""A picture: decoding, cropping, resizing, distances, and how well faces are recognised."""
