"""Who offers what: hook specifications, plugin discovery, and the catalogue of components. No torch at import."""
