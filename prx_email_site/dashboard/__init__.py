"""The dashboard: what needs a person (attention), mail in and out (chart, figures), and the pages (views)."""
