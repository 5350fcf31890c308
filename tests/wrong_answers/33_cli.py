# 33.1 a missing folder is an empty one
def count_parser():
    return Parser("count", "Count.", folder="a folder")

def count_command(args):
    found = len([*Path(args.folder).rglob("*.png")])
    print(found)
    return int(found == 0)

# 33.1 prints, and always succeeds
def count_parser():
    return Parser("count", "Count.", folder="a folder")

def count_command(args):
    if not Path(args.folder).is_dir(): raise ValueError(f"{args.folder} is not a folder")
    print(len([*Path(args.folder).rglob("*.png")]))

# 33.1 not below
def count_parser():
    return Parser("count", "Count.", folder="a folder")

def count_command(args):
    if not Path(args.folder).is_dir(): raise ValueError(f"{args.folder} is not a folder")
    found = len([*Path(args.folder).glob("*.png")])
    print(found)
    return int(found == 0)
