# 12.1 the expected number of bad pictures, not a chance
share = 10 / 1000 * 128

# 12.2 one replacement at most
def reads_per_picture(b):
    return 1 + b
