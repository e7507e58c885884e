"""Operations on the site: people, tokens, webhooks, events, alert rules, storage, and what needs a person."""
