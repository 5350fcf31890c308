# 32.1 somebody's line
def chosen(args, name, usual):
    return getattr(args, name, None) or usual

# 32.1 the usual value always
def chosen(args, name, usual):
    return usual

# 32.1 None for what was not said
def chosen(args, name, usual):
    return getattr(args, name, None)
