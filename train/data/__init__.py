"""What a training sees: clips by number, the few labels it may know, how clips are varied."""
