"""Tables computed from records, never edited by hand. No torch here."""
