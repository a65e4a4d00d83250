"""The commands of `kh`, a file each. Nothing heavy is imported before one of them runs."""
