"""The processes that decode, shut in and limited, and what a rank says to them."""
