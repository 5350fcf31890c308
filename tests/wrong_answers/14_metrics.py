# 14.1 variances
distance = 1 + (9 - 1) ** 2

# 14.2 deviations instead of squares
seams = 1 + 0.3 / 0.4
