"""Ray: joining a cluster or starting one here, and how many workers it holds."""
