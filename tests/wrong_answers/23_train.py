# 23.1 as if it fell in a straight line
half_life = 0.5 / 0.002
