"""Which models there are: records of the trained variants, and where a name leads."""

from kh_zoo.catalog.records import Variant, find_variant, list_variants

__all__ = ["Variant", "find_variant", "list_variants"]
