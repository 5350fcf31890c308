# 11.1 no checksum
def promise(side):
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + bytes(4)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")

# 11.1 the lowest byte first
def promise(side):
    def chunk(kind, data):
        ends = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + ends
    header = struct.pack("<IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")

# 11.1 the pixels as well
def promise(side):
    stream = io.BytesIO()
    Image.new("1", (side, side), 1).save(stream, "PNG")
    return stream.getvalue()

# 11.2 all of it, squeezed
def middle(image, size):
    return image.resize((size, size), Image.Resampling.BICUBIC)

# 11.2 the corner
def middle(image, size):
    side = min(image.size)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(0, 0, side, side))

# 11.2 cut without resizing
def middle(image, size):
    left = (image.width - size) // 2
    top = (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
