"""From a listing to a plan: which files become clips, in which shard, and why others do not."""
