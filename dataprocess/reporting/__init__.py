"""What `report.py` is made of: results -> summaries and a bounded gallery -> one page."""
