# 17.1 the base has the last word
def resolved(recipes, name):
    base, own = recipes[name]
    return {**own, **resolved(recipes, base)} if base else dict(own)

# 17.1 one base only
def resolved(recipes, name):
    base, own = recipes[name]
    return {**(recipes[base][1] if base else {}), **own}

# 17.1 writes into the recipes
def resolved(recipes, name):
    base, own = recipes[name]
    for key, value in (resolved(recipes, base) if base else {}).items(): own.setdefault(key, value)
    return own

# 17.2 the rate as it was
recipe = ("folder", dict(batch_size=32, steps=10_000, warmup=500, ema=0.999,
                         precision="fp32", compile=False))

# 17.2 still for a GPU
recipe = ("folder", dict(batch_size=32, lr=5e-4 / 4, steps=10_000, warmup=500, ema=0.999))

# 17.2 too long an average
recipe = ("folder", dict(batch_size=32, lr=5e-4 / 4, steps=4000, warmup=400, ema=0.999,
                         precision="fp32", compile=False))
