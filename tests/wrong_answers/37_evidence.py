# 37.1 the width grows so, not r
def same_blur(r, n, m):
    return r * m / n

# 37.1 the fraction turned over
def same_blur(r, n, m):
    return r * (n / m) ** 2

# 37.2 chosen and reported on the same seeds
def honest_best(results):
    name = min(results, key=lambda name: sum(results[name]))
    return name, sum(results[name]) / len(results[name])

# 37.2 chosen by the first seed, which is then reported too
def honest_best(results):
    name = min(results, key=lambda name: results[name][0])
    return name, sum(results[name]) / len(results[name])

# 37.2 the best of the other seeds
def honest_best(results):
    name = min(results, key=lambda name: results[name][0])
    return name, min(results[name][1:])
