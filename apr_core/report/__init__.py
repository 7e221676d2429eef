"""Reports: tables, claims and ablations from cards and records."""
