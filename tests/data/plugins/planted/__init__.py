"""Small components that are right (``faulty/good-…``), and others that are each wrong in one way, a kind a file."""
