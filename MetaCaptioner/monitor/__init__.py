"""How far all ranks are, and whether all is there."""
