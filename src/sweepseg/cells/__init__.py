"""Recurrent cells: parameters plus one op each."""
