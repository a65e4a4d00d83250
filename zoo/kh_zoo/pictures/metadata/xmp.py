"""XMP packets: corrected for pixels that were turned and coloured, joined, and taken apart."""

import hashlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any
from xml.dom import Node, expatbuilder, minidom
from xml.parsers.expat import ExpatError

from kh_zoo.pictures.metadata.exif import turn_point, turn_subject

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_CAMERA_RAW = "http://ns.adobe.com/camera-raw-settings/1.0/"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"
_SUBJECTS = ((_EXIF, "SubjectArea"), (_EXIF, "SubjectLocation"))
_EXTENDED = "HasExtendedXMP"
_NUMBER = re.compile(r"[0-9]{1,12}(/[0-9]{1,12}|\.[0-9]{1,12})?")
# What is true of the file only, not of what is written: how the pixels are stored, and the
# thumbnail, which is grey; and what belongs to further pictures and films in the file.
_STORAGE = {
    *((_TIFF, name) for name in ("BitsPerSample", "Compression", "PhotometricInterpretation")),
    *((_TIFF, name) for name in ("SamplesPerPixel", "PlanarConfiguration", "YCbCrSubSampling")),
    *((_PHOTOSHOP, "ICCProfile"), (_PHOTOSHOP, "ColorMode"), (_XMP, "Thumbnails")),
    (_EXIF, "Gamma"),
}
_FURTHER = (
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/camera/",
)
# A packet of more bytes, elements and attributes or levels is left as it is.
_MOST_BYTES, _MOST_NODES, _MOST_LEVELS = 2**25, 50_000, 50


# Of the encodings that XMP may have, how a packet begins: with the mark of it, or with its "<".
_STARTS = tuple(
    ("\ufeff<"[at:].encode(encoding), encoding)
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    for at in (0, 1)
)


class _Builder(expatbuilder.ExpatBuilderNS):
    """Makes the tree of a packet in any encoding.

    No packet declares entities, which could make it grow without bounds.
    """

    def start_doctype_decl_handler(self, *_: object) -> None:
        raise ValueError("a packet with declarations")


class Xmp:
    """A packet as a tree.

    Example:

    >>> from kh_zoo.pictures.metadata.xmp import Xmp
    >>> packet = b'''<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
    ...     xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
    ...     xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF>
    ... </x:xmpmeta>'''
    >>> xmp = Xmp(packet)
    >>> xmp.reset_orientation()
    >>> b'tiff:Orientation="1"' in xmp.to_bytes()
    True

    Args:
        packet: A packet of RDF in XML.

    Raises:
        ValueError: It is no such packet.
    """

    def __init__(self, packet: bytes) -> None:
        text = _decoded(packet)
        content = text.encode() if isinstance(text, str) else text
        nodes = content.count(b"<") + content.count(b"=")
        if len(content) > _MOST_BYTES or (nodes > _MOST_NODES and nodes * 20 > len(content)):
            raise ValueError("a packet too long")
        try:
            self._document = _Builder().parseString(text)
        except (ExpatError, ValueError, LookupError) as error:
            raise ValueError(str(error)) from error
        level = 0
        nodes_of_level: list[Any] = [self._document]
        while nodes_of_level:
            nodes_of_level = [child for node in nodes_of_level for child in node.childNodes]
            level += 1
            if level > _MOST_LEVELS:
                raise ValueError("a packet too deep")
        found = self._document.getElementsByTagNameNS(_RDF, "RDF")
        if not found:
            raise ValueError("a packet without RDF")
        self._rdf: minidom.Element = found[0]

    def to_bytes(self) -> bytes:
        """The packet in UTF-8."""
        return "".join(node.toxml() for node in self._document.childNodes).encode()

    def describe(self, width: int, height: int, software: str) -> None:
        """Correct what the packet says of the file, which is another one."""
        right = {
            **{(_TIFF, "ImageWidth"): str(width), (_TIFF, "ImageLength"): str(height)},
            **{(_EXIF, "PixelXDimension"): str(width), (_EXIF, "PixelYDimension"): str(height)},
            **{(_EXIF, "ColorSpace"): "1", (_TIFF, "Software"): software},
        }
        for node in list(self._properties()):
            name = (node.namespaceURI, node.localName)
            if name in _STORAGE or node.namespaceURI in _FURTHER:
                _remove(node)
            elif name in right:
                _set(node, right[name])

    def set_resolution(self, x: str | None, y: str | None, unit: str | None) -> None:
        """Correct the resolution where the packet has one; None: it is not known."""
        right = {"XResolution": x, "YResolution": y, "ResolutionUnit": unit}
        for node in list(self._properties()):
            if node.namespaceURI == _TIFF and node.localName in right:
                value = right[node.localName]
                if value is None:
                    _remove(node)
                else:
                    _set(node, value)

    @property
    def resolution(self) -> tuple[Fraction, Fraction, int]:
        """Pixels a unit, to the right and down, and the unit, as EXIF counts them.

        Raises:
            ValueError: The packet does not say it.
        """
        found = {
            node.localName: _text(node)
            for node in self._properties()
            if node.namespaceURI == _TIFF and _NUMBER.fullmatch(_text(node))
        }
        x, y = found.get("XResolution"), found.get("YResolution")
        try:
            numbers = Fraction(x or y or ""), Fraction(y or x or "")
            return *numbers, int(found.get("ResolutionUnit", "2"))
        except ZeroDivisionError:
            raise ValueError("a resolution divided by 0") from None

    def reset_orientation(self) -> None:
        """Say that the pixels are upright, where the packet says something of it."""
        for node in list(self._properties()):
            if (node.namespaceURI, node.localName) == (_TIFF, "Orientation"):
                _set(node, "1")

    def turn(self, orientation: int, width: int, height: int) -> None:
        """Turn what the packet says of places in the picture.

        Regions of the Metadata Working Group (faces), of Microsoft, of the IPTC and of ACDSee, the
        crop of Camera Raw, and EXIF's subject.

        Args:
            orientation: Of the pixels in the file, 1..8.
            width: Width in the file, in pixels.
            height: Height in the file, in pixels.
        """
        structures = [_Structure(node) for node in self._rdf.getElementsByTagName("*")]
        upright = orientation >= 5 and any(
            # Some programs count in the picture as they display it, and say its size so.
            (sizes := structure.numbers((_DIMENSIONS, "w"), (_DIMENSIONS, "h"))) is not None
            and (sizes[0] - sizes[1]) * (width - height) < 0
            for structure in structures
        )
        for structure in structures:
            turn = _Turn(structure, orientation, width, height)
            if not upright:
                turn.area()
            turn.microsoft()
            turn.iptc()
            turn.crop()
        for node in self._properties():
            if (node.namespaceURI, node.localName) in _SUBJECTS:
                _turn_subject(node, orientation, width, height)
        if orientation >= 5 and not upright:
            for structure in structures:
                structure.swap((_DIMENSIONS, "w"), (_DIMENSIONS, "h"))

    def join(self, extended: bytes) -> None:
        """Take in the properties of another packet, its extension."""
        other = Xmp(extended)
        for description in other._descriptions():
            moved = self._document.importNode(description, True)
            _declare(description, moved)
            self._rdf.appendChild(moved)
        for node in list(self._properties()):
            if (node.namespaceURI, node.localName) == (_NOTE, _EXTENDED):
                _remove(node)

    @property
    def extended(self) -> str | None:
        """The name of the extension that the packet says to have."""
        for node in self._properties():
            if (node.namespaceURI, node.localName) == (_NOTE, _EXTENDED):
                return _text(node)
        return None

    def split(self, room: int) -> tuple[bytes, str, bytes]:
        """Take the packet apart into two, the largest properties into the second.

        Args:
            room: The bytes that the first may have.

        Returns:
            The first, which names the second; that name; and the second.

        Raises:
            ValueError: What can't be moved is too long.
        """
        candidates: list[tuple[int, Any, minidom.Element]] = []
        for description in self._descriptions():
            for node in _own_properties(description):
                size = len(node.value) if node.nodeType == Node.ATTRIBUTE_NODE else 0
                size = size or len(node.toxml().encode())
                candidates.append((size, node, description))
        candidates.sort(key=lambda candidate: -candidate[0])
        other = minidom.parseString(
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
        )
        root: Any = other.documentElement
        rdf = root.firstChild
        target = other.createElementNS(_RDF, "rdf:Description")
        target.setAttributeNS(_RDF, "rdf:about", "")
        rdf.appendChild(target)
        left = len(self.to_bytes()) + 200  # for the name of the second
        for size, node, description in candidates:
            if left <= room:
                break
            if node.nodeType == Node.ATTRIBUTE_NODE:
                moved = other.createElementNS(node.namespaceURI, node.name)
                moved.appendChild(other.createTextNode(node.value))
            else:
                moved = other.importNode(node, True)
            _declare(description, moved)
            target.appendChild(moved)
            _remove(node)
            left -= size
        second = root.toxml().encode()
        name = hashlib.md5(second, usedforsecurity=False).hexdigest().upper()
        note = self._document.createElementNS(_RDF, "rdf:Description")
        for key, value in (("xmlns:rdf", _RDF), ("rdf:about", ""), ("xmlns:xmpNote", _NOTE)):
            note.setAttribute(key, value)
        note.setAttribute(f"xmpNote:{_EXTENDED}", name)
        self._rdf.appendChild(note)
        first = self.to_bytes()
        if len(first) > room:
            raise ValueError("properties that can't be moved")
        return first, name, second

    def _descriptions(self) -> list[minidom.Element]:
        return [node for node in self._rdf.childNodes if node.nodeType == Node.ELEMENT_NODE]

    def _properties(self) -> Iterator[Any]:
        for description in self._descriptions():
            yield from _own_properties(description)


class _Structure:
    """A value of several fields, each an attribute or an element."""

    def __init__(self, node: minidom.Element) -> None:
        self._fields: dict[tuple[str, str], Any] = {}
        self.node = node
        for field in (*node.attributes.values(), *node.childNodes):
            if field.nodeType in (Node.ATTRIBUTE_NODE, Node.ELEMENT_NODE):
                self._fields.setdefault((field.namespaceURI or "", field.localName or ""), field)

    def names(self) -> set[tuple[str, str]]:
        return set(self._fields)

    def text(self, name: tuple[str, str]) -> str:
        return _text(self._fields[name]) if name in self._fields else ""

    def set_text(self, name: tuple[str, str], value: str) -> None:
        _set(self._fields[name], value)

    def numbers(self, *names: tuple[str, str]) -> tuple[float, ...] | None:
        """Fields as numbers; None if one of them is none."""
        try:
            return tuple(float(self.text(name)) for name in names)
        except ValueError:
            return None

    def set_numbers(self, values: dict[tuple[str, str], float]) -> None:
        for name, value in values.items():
            self.set_text(name, f"{round(value, 9):.12g}")

    def swap(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        if one in self._fields and other in self._fields:
            values = self.text(one), self.text(other)
            self.set_text(other, values[0])
            self.set_text(one, values[1])


class _Turn:
    """Turns what one structure says of places."""

    def __init__(self, structure: _Structure, orientation: int, width: int, height: int) -> None:
        self._structure = structure
        self._orientation = orientation
        self._size = (float(width), float(height))
        self._swap = orientation >= 5

    def area(self) -> None:
        """The centre, in parts of the sides or pixels, and the sides, or the diameter of a circle.

        Of the Metadata Working Group, and ACDSee's that are like them.
        """
        for space in {space for space, _ in self._structure.names() if space.endswith("Area#")}:
            x, y, w, h = ((space, name) for name in "xywh")
            centre = self._structure.numbers(x, y)
            if centre is None:
                continue
            size = self._size if self._structure.text((space, "unit")) == "pixel" else (1.0, 1.0)
            turned = turn_point(self._orientation, centre[0], centre[1], *size)
            self._structure.set_numbers({x: turned[0], y: turned[1]})
            if self._swap:
                self._structure.swap(w, h)

    def microsoft(self) -> None:
        """The upper left corner and the sides, in parts of the sides, in one text."""
        name = (_MICROSOFT, "Rectangle")
        try:
            x, y, w, h = (float(value) for value in self._structure.text(name).split(","))
        except ValueError:
            return
        turned = self._rectangle(x, y, w, h, (1.0, 1.0))
        text = ", ".join(f"{round(value, 9):.12g}" for value in turned)
        self._structure.set_text(name, text)

    def iptc(self) -> None:
        """Rectangles, circles and the corners of polygons, in parts of the sides or pixels."""
        x, y, w, h, radius = ((_IPTC, f"rb{name}") for name in ("X", "Y", "W", "H", "Rx"))
        point = self._structure.numbers(x, y)
        if point is None:
            return
        pixels = self._unit() == "pixel"
        size = self._size if pixels else (1.0, 1.0)
        if (sides := self._structure.numbers(w, h)) is not None:
            turned = self._rectangle(point[0], point[1], sides[0], sides[1], size)
            self._structure.set_numbers(dict(zip((x, y, w, h), turned, strict=True)))
            return
        if (across := self._structure.numbers(radius)) is not None and self._swap and not pixels:
            # A radius is in parts of the width, which is another one now.
            self._structure.set_numbers({radius: across[0] * self._size[0] / self._size[1]})
        point = turn_point(self._orientation, point[0], point[1], *size)
        self._structure.set_numbers({x: point[0], y: point[1]})

    def crop(self) -> None:
        """What Camera Raw would cut off, in parts of the sides."""
        names = [(_CAMERA_RAW, f"Crop{side}") for side in ("Left", "Top", "Right", "Bottom")]
        borders = self._structure.numbers(*names)
        if borders is None:
            return
        left, top, right, bottom = borders
        x, y, w, h = self._rectangle(left, top, right - left, bottom - top, (1.0, 1.0))
        self._structure.set_numbers(dict(zip(names, (x, y, x + w, y + h), strict=True)))

    def _rectangle(
        self, x: float, y: float, w: float, h: float, size: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        one = turn_point(self._orientation, x, y, *size)
        other = turn_point(self._orientation, x + w, y + h, *size)
        left, top = (min(pair) for pair in zip(one, other, strict=True))
        return (left, top, h, w) if self._swap else (left, top, w, h)

    def _unit(self) -> str:
        """Of a corner, the polygon around it says the unit."""
        node: Any = self._structure.node
        while node is not None and node.nodeType == Node.ELEMENT_NODE:
            if unit := _Structure(node).text((_IPTC, "rbUnit")):
                return unit
            node = node.parentNode
        return ""


def _turn_subject(node: Any, orientation: int, width: int, height: int) -> None:
    """EXIF's place of the subject, numbers in a list."""
    if node.nodeType == Node.ATTRIBUTE_NODE:
        return
    numbers = node.getElementsByTagNameNS(_RDF, "li")
    try:
        values = [int(_text(number)) for number in numbers]
    except ValueError:
        return
    if 2 <= len(values) <= 4:
        turned = turn_subject(orientation, values, width, height)
        for number, value in zip(numbers, turned, strict=True):
            _set(number, str(value))


def corrected(packet: bytes, change: Callable[[Xmp], None]) -> bytes:
    """A packet after a change; one that can't be read is left as it is."""
    try:
        xmp = Xmp(packet)
    except ValueError:
        return packet
    change(xmp)
    return xmp.to_bytes()


def _decoded(packet: bytes) -> bytes | str:
    """A packet without what may stand around it; as text, where it is not in UTF-8."""
    for start, encoding in _STARTS:
        if packet.startswith(start):
            return packet.decode(encoding).strip("\ufeff\0 \t\r\n")
    return packet.strip(b"\0 \t\r\n")


def _own_properties(description: minidom.Element) -> list[Any]:
    """The properties in a description, attributes and elements."""
    attributes = [
        node
        for node in description.attributes.values()
        if node.namespaceURI not in (_RDF, None) and not node.name.startswith(("xmlns", "xml:"))
    ]
    elements = [node for node in description.childNodes if node.nodeType == Node.ELEMENT_NODE]
    return attributes + elements


def _text(node: Any) -> str:
    if node.nodeType == Node.ATTRIBUTE_NODE:
        return str(node.value)
    return "".join(
        child.data
        for child in node.childNodes
        if child.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE)
    ).strip()


def _set(node: Any, value: str) -> None:
    if node.nodeType == Node.ATTRIBUTE_NODE:
        node.value = value
        return
    while node.firstChild:
        node.removeChild(node.firstChild)
    node.appendChild(node.ownerDocument.createTextNode(value))


def _remove(node: Any) -> None:
    if node.nodeType == Node.ATTRIBUTE_NODE:
        node.ownerElement.removeAttributeNode(node)
    else:
        node.parentNode.removeChild(node)


def _declare(node: Any, moved: minidom.Element) -> None:
    """Declare the prefixes that are declared around an element where it is moved from."""
    while node is not None and node.nodeType == Node.ELEMENT_NODE:
        for attribute in node.attributes.values():
            if attribute.name.startswith("xmlns") and not moved.hasAttribute(attribute.name):
                moved.setAttribute(attribute.name, attribute.value)
        node = node.parentNode
