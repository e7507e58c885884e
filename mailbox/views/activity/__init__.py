"""The activity: `audit` records what users do; the page finds entries and says them in words."""
