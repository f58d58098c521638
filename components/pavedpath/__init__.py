"""Infrastructure and delivery as typed Pulumi components.

Every component has one shape, `Name(name, args, opts=None)`; its arguments are a TypedDict, checked in full before
the first resource is registered. A component's module, and with it its provider's SDK, is imported on first use: the
SDKs take seconds, and no stack uses all of them. `__init__.pyi` lists the public names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType]  # lazy_loader is untyped; the stub beside this file is what checkers read
