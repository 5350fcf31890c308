# 20.1 without the optimiser
gigabytes = (1 + 2) * 131.1e6 * 4 / 1e9
