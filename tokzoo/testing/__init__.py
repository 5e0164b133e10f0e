"""The conformance kit: what every registered component must keep to."""
