# 31.1 forgot the half of b²/2
def t_in_focus(r, b):
    return math.exp(-b**2 / r)

# 31.1 forgot the strength
def t_in_focus(r, b):
    return math.exp(-b**2 / 2)
