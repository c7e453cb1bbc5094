"""Pictures: SVG charts and spectrograms."""
