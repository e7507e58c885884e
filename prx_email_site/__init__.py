"""The Django project: settings, URLs, workers, launcher, and features that need all apps (dashboard, monitoring,
retention, personal_data, backup, seed)."""
