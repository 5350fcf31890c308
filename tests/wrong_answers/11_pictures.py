# 11.1 the bits of the file, not the bytes of the picture
gigabytes = 20_000**2 / 8 / 1e9
