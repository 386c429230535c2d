"""A new release brought to a desk in steps that stop at the first failure, and the way back from it."""
