"""Which files are taken for pictures, by their suffixes."""

READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".gif"),
    *(".bmp", ".dib", ".jp2", ".j2k", ".j2c", ".jpf", ".jpx"),
)
"""Of the files that are read."""
UNREAD = (".jxl",)
"""Of pictures that can't be read unless a plugin does: so that they are named as failures instead
of passed over in silence."""
