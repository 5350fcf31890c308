# 26.1 the floor is a property of the images
factor = 1.0

# 26.1 the error itself, not its square
factor = 0.7

# 26.2 a distance alone
def is_copied(images, train, test):
    return nearest_distance(images, train) < 0.3

# 26.2 exact copies only
def is_copied(images, train, test):
    return bool((images[:, None] == train[None]).flatten(2).all(-1).any())

# 26.2 any lead of the training images
def is_copied(images, train, test):
    return nearest_distance(images, train) < nearest_distance(images, test)
