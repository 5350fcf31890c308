# 27.1 the mean only
score = 64 / 2000
