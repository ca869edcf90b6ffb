"""Devices of this machine, by the names that torch has for them."""

import torch


def usable_device(device: str | torch.device | None, name: str = "device") -> torch.device:
    """Return a device that holds tensors here.

    Args:
        device: a torch device, or its name; None = "cuda" where there is one, else "cpu".
        name: of the argument, for the message.

    Raises:
        ValueError: it is not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"{name}={str(device)!r}: not a device of this machine") from error
    return usable
