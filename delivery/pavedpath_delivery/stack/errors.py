"""The errors of `pavedpath stack`."""

from pavedpath_delivery.kit.errors import DeliveryError, Exit

__all__ = ["Exit", "StackCommandError"]


class StackCommandError(DeliveryError):
    """An error of a stack, its state or its backend."""
