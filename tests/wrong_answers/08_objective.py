# 8.1 the weight is forgotten
def loss_of_velocity(path, x_hat, x, t):
    return (x_hat - x).square().mean()

# 8.1 the weight, not squared
def loss_of_velocity(path, x_hat, x, t):
    error = path.operator.modes(x_hat - x)
    return (path.weight(x, t) * error.square()).mean()

# 8.1 the weight of a path without blur
def loss_of_velocity(path, x_hat, x, t):
    return ((x_hat - x) / path.remaining(x, t)).square().mean()

# 8.2 the teacher moves too
def layersync_step(net, z, t, labels, lr):
    _, (weak, strong) = net(z, t, labels, features=layersync_pair(len(net.blocks)))
    net.zero_grad()
    (-F.cosine_similarity(weak, strong, dim=-1).mean()).backward()
    with torch.no_grad():
        for weight in net.parameters():
            if weight.grad is not None: weight -= lr * weight.grad

# 8.2 uphill
def layersync_step(net, z, t, labels, lr):
    _, (weak, strong) = net(z, t, labels, features=layersync_pair(len(net.blocks)))
    net.zero_grad()
    layersync_loss(weak, strong).backward()
    with torch.no_grad():
        for weight in net.parameters():
            if weight.grad is not None: weight += lr * weight.grad

# 8.2 the loss of training, with LayerSync in it
def layersync_step(net, z, t, labels, lr):
    net.zero_grad()
    training_loss(net, HeatProbPath((8, 8)), z, labels, layersync=0.2).backward()
    with torch.no_grad():
        for weight in net.parameters():
            if weight.grad is not None: weight -= lr * weight.grad

# 8.3 the same noise in every step
def train_step(net, path, images, labels, optimizer, generator):
    generator = torch.Generator().manual_seed(0)
    loss = training_loss(net, path, images, labels, generator=generator)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# 8.3 gradients pile up
def train_step(net, path, images, labels, optimizer, generator):
    loss = training_loss(net, path, images, labels, generator=generator)
    loss.backward()
    optimizer.step()
    return loss.item()

# 8.3 class 0 for none
def train_step(net, path, images, labels, optimizer, generator):
    labels = drop_labels(labels, 0, 0.1, generator)
    loss = training_loss(net, path, images, labels, label_drop=0.0, generator=generator)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# 8.3 labels go missing twice
def train_step(net, path, images, labels, optimizer, generator):
    labels = drop_labels(labels, net.num_classes, 0.1, generator)
    loss = training_loss(net, path, images, labels, generator=generator)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
