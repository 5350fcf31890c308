# 38.1 means and their spread, without the pairs
def judged(a, b):
    error = 2 * np.sqrt(np.var(a, ddof=1) + np.var(b, ddof=1))
    if abs(np.mean(a) - np.mean(b)) <= error:
        return "undecided"
    return "nearer" if np.mean(a) < np.mean(b) else "farther"

# 38.1 the mean alone
def judged(a, b):
    return "nearer" if np.mean(a) < np.mean(b) else "farther"

# 38.1 one sign on all seeds
def judged(a, b):
    signs = np.sign(np.subtract(a, b)).sum()
    if abs(signs) < len(a):
        return "undecided"
    return "nearer" if signs < 0 else "farther"

# 38.1 two deviations in place of two errors
def judged(a, b):
    gaps = np.log(np.divide(a, b))
    if abs(gaps.mean()) <= 2 * gaps.std(ddof=1):
        return "undecided"
    return "nearer" if gaps.mean() < 0 else "farther"

# 38.1 the sign turned round
def judged(a, b):
    gaps = np.log(np.divide(a, b))
    if abs(gaps.mean()) <= 2 * gaps.std(ddof=1):
        return "undecided"
    return "nearer" if gaps.mean() > 0 else "farther"

# 38.2 a majority decides
def verdict_of(scope, outcomes):
    if not outcomes or scope not in ("always", "can", *outcomes):
        return "not tested here"
    found = list(outcomes.values()) if scope in ("always", "can") else [outcomes[scope]]
    if found.count("nearer") > found.count("farther"):
        return "holds"
    return "does not hold" if "farther" in found else "undecided"

# 38.2 failures refute that something can be
def verdict_of(scope, outcomes):
    if not outcomes or scope not in ("always", "can", *outcomes):
        return "not tested here"
    found = set(outcomes.values()) if scope in ("always", "can") else {outcomes[scope]}
    if scope == "can" and "nearer" in found:
        return "holds"
    if "farther" in found:
        return "does not hold"
    return "holds" if found == {"nearer"} else "undecided"
