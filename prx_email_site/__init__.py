"""The Django project: settings, URLs, workers, launcher, and what needs all apps (dashboard, monitoring, retention,
personal_data, backup, seed)."""
