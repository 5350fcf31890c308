# 25.1 a coat is a coat
times_as_far = 1

# 25.1 far too much
times_as_far = 10_000

# 25.2 noise has no direction
def fooled(network, images, labels):
    sign = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    return (images + 0.2 * sign).clamp(-1, 1)

# 25.2 the gradient itself, far too small to matter
def fooled(network, images, labels):
    images = images.clone().requires_grad_()
    gradient, = torch.autograd.grad(F.cross_entropy(network(images), labels), images)
    return (images + 0.2 * gradient).clamp(-1, 1)

# 25.2 down the loss
def fooled(network, images, labels):
    images = images.clone().requires_grad_()
    gradient, = torch.autograd.grad(F.cross_entropy(network(images), labels), images)
    return (images - 0.2 * gradient.sign()).clamp(-1, 1)
