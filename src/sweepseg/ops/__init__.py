"""Pure functions on tensors: the recurrences."""
