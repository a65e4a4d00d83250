"""`Picture`, under the name that plugins know it by."""

from kh_zoo.pictures.picture import Picture

__all__ = ["Picture"]
