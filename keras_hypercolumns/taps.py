"""The tap tables of VGG-19: which feature maps each variant of the colorizer harvests."""

from types import MappingProxyType

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)

VARIANTS = MappingProxyType(
    {
        "full": (
            "relu1_2",
            "relu2_1",
            "relu2_2",
            *(f"relu{block}_{i}" for block in (3, 4, 5) for i in (1, 2, 3, 4)),
        ),
        "relu1to5": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
        "relu3to5": ("relu3_4", "relu4_4", "relu5_4"),
        "pool1to4": ("pool1", "pool2", "pool3", "pool4"),
    }
)
"""The four published variants and their taps, in the order in which they are concatenated."""


def tap_names() -> tuple[str, ...]:
    """Every tap of VGG-19, from the input to the last pooling: `convB_I`, `reluB_I`, `poolB`."""
    names = []
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
        for i in range(1, convolutions + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


def tap_channels(tap: str) -> int:
    """Channels of the VGG-19 tap `tap`, such as 512 for `"relu5_4"`."""
    return CHANNELS_PER_BLOCK[_block(tap) - 1]


def tap_stride(tap: str) -> int:
    """Pixels of the picture per cell of the VGG-19 tap `tap`, such as 16 for `"relu5_4"`."""
    block = _block(tap)
    return 2**block if tap.startswith("pool") else 2 ** (block - 1)


def _block(tap: str) -> int:
    return int(tap.removeprefix("conv").removeprefix("relu").removeprefix("pool")[0])
