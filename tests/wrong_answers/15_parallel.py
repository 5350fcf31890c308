# 15.1 only once
gigabytes = 131.1e6 * 4 / 1e9
