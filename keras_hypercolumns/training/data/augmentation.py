"""What is done to the pictures of a training, so that it learns more than they show."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """How pictures are cropped, and which share of them is changed how."""

    crop: float = 0.0
    """The least side of a crop, relative to the picture's short side; with 0 it is the size."""
    aged: float = 0.0
    """Share of the pictures whose lightness is aged, as by `aging.aged`."""
    mounted: float = 0.0
    """Share of the pictures that are laid on a neutral mount."""
    neutral: float = 0.0
    """Share of the pictures that give way to a page without colour."""

    @property
    def changes_lightness(self) -> bool:
        """Whether there are pictures whose lightness is not that of their colours."""
        return bool(self.aged or self.neutral)

    def happens(self, what: str, random: np.random.Generator) -> bool:
        """Draw whether a picture is one of a share; nothing is drawn where there are none."""
        share: float = getattr(self, what)
        return bool(share) and random.random() < share

    def least_side(self, size: int) -> int:
        """Short side, in pixels, that pictures need for crops of `size`."""
        return size // 2 if self.crop else size


NONE = Augmentation()
