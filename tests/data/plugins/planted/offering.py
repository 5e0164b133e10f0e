"""How the components of this package are registered."""

import tokzoo

OFFERED = []


def offered(kind, name, config, **example):
    """Register a class under ``faulty/name``."""

    def register(target):
        spec = tokzoo.ComponentSpec(kind, f"faulty/{name}", config, target, target.__doc__ or name, example=example)
        OFFERED.append(spec)
        return target

    return register
