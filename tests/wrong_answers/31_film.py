# 31.1 forgot the half of b²/2
t_in_focus = math.exp(-1)
