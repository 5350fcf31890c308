# 23.1 as it was
def train(network, loss_of, steps, lr):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for step in range(steps):
        loss = loss_of(network, step)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

# 23.1 never zeroed
def train(network, loss_of, steps, lr):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for step in range(steps):
        loss = loss_of(network, step)
        loss.backward()
        optimizer.step()

# 23.1 one batch for ever
def train(network, loss_of, steps, lr):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for step in range(steps):
        loss = loss_of(network, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# 23.2 as it was
def noise_of_steps(seed, start, steps):
    generator = torch.Generator().manual_seed(seed)
    for step in range(start, steps): yield torch.randn(16, generator=generator)

# 23.2 the same in each step
def noise_of_steps(seed, start, steps):
    for step in range(start, steps):
        yield torch.randn(16, generator=torch.Generator().manual_seed(seed))

# 23.2 a sum of both
def noise_of_steps(seed, start, steps):
    for step in range(start, steps):
        yield torch.randn(16, generator=torch.Generator().manual_seed(seed + step))

# 23.3 the last weights
def my_fit(config, data, network, path):
    optimizer = make_optimizer(config, network)
    for step in range(config.steps):
        i = batch_indices(step, config.batch_size, len(data), config.seed)
        loss = training_loss(network, path, data.images[i], data.labels[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network

# 23.3 an average that never follows
def my_fit(config, data, network, path):
    optimizer = make_optimizer(config, network)
    average = make_ema(config.ema[0], network)
    for step in range(config.steps):
        i = batch_indices(step, config.batch_size, len(data), config.seed)
        loss = training_loss(network, path, data.images[i], data.labels[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return average
