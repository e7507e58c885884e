"""Operations on mail that goes out: sending, drafts, the outbox and its bulk actions, what is refused beforehand."""
