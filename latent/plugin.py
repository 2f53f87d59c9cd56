"""Registers every task, model, criterion and decoder of this package: `imports: [latent.plugin]` in a configuration.

It is not done by `import latent`, so that the verbs of this package start without torch.
"""

from __future__ import annotations

import importlib
import pkgutil

import latent.criteria
import latent.decoding
import latent.models
import latent.tasks

for package in (latent.criteria, latent.decoding, latent.models, latent.tasks):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
