"""Which files are taken for pictures, by their suffixes."""

READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"),
    *(".tif", ".tiff", ".avif", ".gif"),
)
"""Of the files that are read with libvips."""
UNREAD = (".bmp", ".heic", ".heif", ".jxl")
"""Of pictures that can't be read unless a plugin does: so that they are named as failures instead
of passed over in silence."""
