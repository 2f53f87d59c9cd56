"""Memory of tensors that something still holds, for tests that nothing is kept."""

from __future__ import annotations

import gc

import torch


def tensors_in_use() -> int:
    """Bytes of the storages of all tensors that are alive, each counted once.

    Packed weights of oneDNN have no storage, and the fake tensors that other tests may leave behind have no data.
    """
    gc.collect()
    alive = (found for found in gc.get_objects() if type(found) in (torch.Tensor, torch.nn.Parameter))
    storages = [tensor.untyped_storage() for tensor in alive if tensor.layout == torch.strided]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
