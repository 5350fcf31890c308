# E.1 a power of 1, not of 2
halvings = 2

# E.1 a quarter is a half of a half, squared and squared again
halvings = 8
