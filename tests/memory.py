"""Memory of tensors that something still holds, for tests that nothing is kept."""

from __future__ import annotations

import gc

import torch


def tensors_in_use() -> int:
    """Bytes of the storages of all tensors that are alive, each counted once. Packed weights of oneDNN have none."""
    gc.collect()
    alive = (found for found in gc.get_objects() if issubclass(type(found), torch.Tensor))
    storages = [tensor.untyped_storage() for tensor in alive if tensor.layout == torch.strided]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
