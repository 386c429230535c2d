"""Old databases and running desks: what a new release owes to both."""
