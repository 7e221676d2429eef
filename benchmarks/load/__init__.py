"""The app under load: thirty sessions on one machine, and what each of them waits for."""
