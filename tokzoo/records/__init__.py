"""The record: what bench writes and the leaderboard reads. No torch here."""
