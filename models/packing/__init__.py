"""Models to give away: made small, described by a card, and those that come with the package."""
