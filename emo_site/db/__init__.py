"""Database plumbing: imports Django and itself only."""
