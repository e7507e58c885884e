"""The page of one mail, and its buttons."""
