"""Where a corpus lies: folders and archives, listed once and read at any place."""
