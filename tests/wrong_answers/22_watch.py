# 22.1 begins at 0 and stays too low
def smoothed(losses, decay):
    mean = 0.0
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found
