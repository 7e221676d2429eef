"""Why a model says what it says: its own attention, attributions of it, and how far they agree."""
