"""One file per system of the line, each with its whole forward path."""
