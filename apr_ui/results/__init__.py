"""The records, as tables and charts."""
