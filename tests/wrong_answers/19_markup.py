# 19.1 what matters outside of tags
must_be_replaced = '&<>'

# 19.1 all five
must_be_replaced = """&<>"'"""

# 19.1 the quote alone
must_be_replaced = '"'

# 19.2 upside down
def spark(values):
    low = min(values)
    high = max(values)
    def y(v): return 20 * (v - low) / (high - low) if high > low else 10
    x = [100 * i / (len(values) - 1) for i in range(len(values))]
    return "M" + "L".join(f"{a:g} {y(v):g}" for a, v in zip(x, values))

# 19.2 too short by a step
def spark(values):
    low = min(values)
    high = max(values)
    def y(v): return 20 * (high - v) / (high - low) if high > low else 10
    return "M" + "L".join(f"{100 * i / len(values):g} {y(v):g}" for i, v in enumerate(values))

# 19.2 flat at the top
def spark(values):
    low = min(values)
    high = max(values)
    x = [100 * i / (len(values) - 1) for i in range(len(values))]
    def y(v): return 20 * (high - v) / max(high - low, 1e-9)
    return "M" + "L".join(f"{a:g} {y(v):g}" for a, v in zip(x, values))
