"""How far each layer moved from one model to another: `moved.py BEFORE AFTER`.

Of every convolution of the trunk: the norm of the difference of the kernels over that before, as
`kh train` has it; the cosine of the angle between them; and the share of the kernel's numbers that
changed their sign. Prints a table. The two have to be trunks of one kind, such as two generations
of the VGG-19, or one that `untuned.toml` made.
"""

import argparse

import numpy as np

from kh_zoo.with_keras.joint_model import load_full_trunk


def main():
    """Load both, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before")
    parser.add_argument("after")
    arguments = parser.parse_args()
    before, after = kernels(arguments.before), kernels(arguments.after)
    print("| layer | moved | cosine | sign changed | bias moved |\n| --- | --- | --- | --- | --- |")
    for name, (kernel, bias) in before.items():
        new, new_bias = after[name]
        norms = np.linalg.norm(kernel), np.linalg.norm(new)
        moved = np.linalg.norm(new - kernel) / norms[0]
        cosine = (kernel * new).sum() / (norms[0] * norms[1])
        there = (kernel != 0) & (new != 0)
        sign = np.mean(np.sign(kernel[there]) != np.sign(new[there]))
        length = np.linalg.norm(bias)
        shift = f"{np.linalg.norm(new_bias - bias) / length:.3f}" if length else "from zero"
        print(f"| `{name}` | {moved:.3f} | {cosine:.3f} | {sign:.1%} | {shift} |")


def kernels(model):
    """Kernel and bias of every convolution of the trunk, by the name of the layer."""
    trunk = load_full_trunk(model).trunk
    return {
        layer.name: [np.asarray(weight, "float64") for weight in layer.get_weights()]
        for layer in trunk.layers
        if layer.name.startswith("conv")
    }


if __name__ == "__main__":
    main()
