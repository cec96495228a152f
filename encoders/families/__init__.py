"""The families of encoders, one module each, found by `modality` and `architecture` of a spec.

To add a family, add one module to this folder, and its test to `tests/encoders/families/`. The module needs:

1. A spec class with the fields that decide a vector: `architecture` with the values of the family, `weights` with its
   weight sources, `layer`, `pooling`, and whatever else it needs. It is a subclass of `encoders.image_spec.ImageSpec`,
   `encoders.text_spec.TextSpec`, or `encoders.spec.EncoderSpec`. Each field is part of the fingerprint.
2. A function that loads the model of a spec, an `encoders.family.Model`: how items are prepared, what they cost, how a
   batch becomes tensors, and the network. It returns an `encoders.image_model.ImageModel` or an
   `encoders.text_model.TextModel` around its network, or an instance of its own subclass. `encoders.networks` has
   modules to build networks of, and `encoders.checkpoint` reads checkpoints.
3. `FAMILY`, an `encoders.family.Family` of both. Its weight sources are those of `encoders.weight_sources`,
   `encoders.seeded.Seeded`, or a subclass of `WeightSource` in the module itself.

Nothing else is to be changed: the modules of this folder are discovered. They are imported whenever a spec is parsed,
so they import torch, torchvision and transformers inside functions only.
"""

import importlib
import pkgutil
from functools import cache

from encoders.family import Family
from encoders.spec import EncoderSpec
from rawless.content import Modality
from rawless.errors import UserError


@cache
def all_families() -> tuple[Family, ...]:
    """Return the families of all modules of this folder."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").FAMILY for name in names)


def architectures(modality: Modality) -> list[str]:
    """Return the architectures that the families of a modality name."""
    return sorted(name for family in all_families() if family.modality == modality for name in family.architectures)


def find(architecture: str, modality: Modality) -> Family | None:
    """Return the family that names the architecture, else the one that takes any other of the modality, else None.

    Of two that name it, that of the modality is returned.
    """
    named = [family for family in all_families() if architecture in family.architectures]
    unnamed = [family for family in all_families() if not family.architectures and family.modality == modality]
    return next((family for family in named if family.modality == modality), next(iter([*named, *unnamed]), None))


def family_of(spec: EncoderSpec) -> Family:
    """Return the family of a spec. Raises UserError when no family has its architecture."""
    if (family := find(spec.architecture, spec.modality)) is None:
        raise UserError(f"{spec.ref} has the architecture {spec.architecture}, which no family of encoders has.")
    return family
