"""Starts ranks, and watches over one."""
