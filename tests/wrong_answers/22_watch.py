# 22.1 the images in another order
def crowd(images):
    return images.flip(0)

# 22.1 upside down, which changes the means of the odd modes
def crowd(images):
    return images.flip(-2)

# 22.1 pixels moved instead of modes
def crowd(images):
    moved = [pixel.roll(7 * k) for k, pixel in enumerate(images.flatten(1).T)]
    return torch.stack(moved, 1).reshape(images.shape)

# 22.2 begins at 0 and stays too low
def smoothed(losses, decay):
    mean = 0.0
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found

# 22.2 begins at the first loss, which then counts too much
def smoothed(losses, decay):
    mean = losses[0]
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found
