"""The rank loop that every stage shares; a stage; its options."""
