"""django-post_office as a peer: in its own virtual environment, with the settings its documentation shows."""
