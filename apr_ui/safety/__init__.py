"""The Safety net page's parts."""
