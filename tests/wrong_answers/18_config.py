# 18.1 says what the path brings along
asked = dict(path="blurring", steps=5000, blur_max=3.0, prediction="eps", loss="eps")

# 18.1 the blur of another path
asked = dict(path="ihdm", steps=5000, blur_max=3.0)

# 18.1 the blur forgotten
asked = dict(path="blurring", steps=5000)

# 18.2 all options
def fewest(config):
    return config.flat()

# 18.2 the differences from the default
def fewest(config):
    usual = TrainConfig().flat()
    return {k: v for k, v in config.flat().items() if k not in usual or usual[k] != v}
