"""The functions that SQL calls: one file, one function; one folder, one family."""
