# 29.1 one direction only
def seams(images, patch):
    steps = images.diff(dim=-1).square()
    border = (torch.arange(steps.shape[-1]) + 1) % patch == 0
    return steps[..., border].mean() / steps[..., ~border].mean()

# 29.1 the borders one pixel too late
def seams(images, patch):
    across, within = [], []
    for dim in (-1, -2):
        steps = images.diff(dim=dim).square().movedim(dim, 0)
        border = torch.arange(len(steps)) % patch == 0
        across.append(steps[border].flatten())
        within.append(steps[~border].flatten())
    return torch.cat(across).mean() / torch.cat(within).mean()
