"""The models among which a user of the page chooses."""

import dataclasses

from kh_zoo.catalog.find import find, find_source, open_source
from kh_zoo.catalog.records import list_variants
from kh_zoo.errors import VariantError, ZooError

_VIVID = ", vivid"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A model, as `kh colorize --variant` takes it, and which of its heads."""

    model: str
    vivid: bool = False

    @property
    def label(self) -> str:
        """What it is called on the page."""
        return self.model + _VIVID * self.vivid


def list_choices(model: str) -> dict[str, Choice]:
    """Return what can be chosen without a network, by label.

    Example:

    >>> from kh_zoo.page.choices import list_choices
    >>> list(list_choices("lite"))[:3]
    ['lite', 'lite, vivid', 'full']

    Args:
        model: The one that comes first, on the disk by now; as for `kh colorize --variant`.

    Raises:
        ZooError: There is no such model.
    """
    source = find(model)
    try:
        folder, head = open_source(source)
        vivid = folder.config.vivid_head(head) is not None
    except ZooError:  # a Keras model of its own; or one that loading refuses, with the reason
        vivid = False
    found = [Choice(model)] + [Choice(model, True)] * vivid
    for variant in list_variants():
        try:
            there = find_source(variant).where != "remote"
        except VariantError:
            continue
        if there and variant.name != source.variant:
            found += [Choice(variant.name)] + [Choice(variant.name, True)] * variant.vivid
    return {choice.label: choice for choice in found}
