# 32.1
wrong_for = -1
