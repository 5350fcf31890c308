# 5.1 all modes over the low ones
start = 9

# 5.2 forgot the factor 1 + λ
turning_time = 0.5 ** 0.25

# 5.3 does not add up to one with its partner
def own_clock(t, lam, r=1.0):
    return t ** (1 + r * lam) + 0 * lam
