"""What is trained and how it is judged, as data: recipes, tracks, suites, overrides, grids, the solver, hashing."""
