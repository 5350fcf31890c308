# 4.1 the share that is kept
lost_share = 100 / 400

# 4.1 nothing
lost_share = 0.0

# 4.2 the blur does not move
def blurred_to_velocity(path, o, z, t):
    return (o - z) / path.remaining(z, t)

# 4.2 blurred a second time
def blurred_to_velocity(path, o, z, t):
    return path.target_to_velocity(o, z, t)

# 4.2 the gain on the point as well
def blurred_to_velocity(path, o, z, t):
    return path.operator.pixels(path.velocity_gain(z, t) * path.operator.modes(o - z), z)

# 4.3 no offset
def lost_at_least(x, width):
    energies = torch.linalg.svdvals(x).square()
    return (energies[width:].sum() / energies.sum()).item()

# 4.3 coordinates, not directions
def lost_at_least(x, width):
    energies = x.var(0).sort(descending=True).values
    return (energies[width:].sum() / energies.sum()).item()

# 4.3 deviations, not energies
def lost_at_least(x, width):
    sizes = torch.linalg.svdvals(x - x.mean(0))
    return (sizes[width:].sum() / sizes.sum()).item()

# 4.3 right for white noise only
def lost_at_least(x, width):
    return 1 - width / x.shape[1]
