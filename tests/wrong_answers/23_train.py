# 23.1 it reaches 0 a step too early
def plateau(config, step):
    warm = min(1.0, (step + 1) / config.warmup)
    return config.lr * warm * min(1.0, (config.steps - 1 - step) / (config.steps / 5))

# 23.1 the first step does nothing
def plateau(config, step):
    warm = min(1.0, step / config.warmup)
    return config.lr * warm * min(1.0, (config.steps - step) / (config.steps / 5))

# 23.1 a cosine at the end
def plateau(config, step):
    warm = min(1.0, (step + 1) / config.warmup)
    left = min(1.0, (config.steps - step) / (config.steps / 5))
    return config.lr * warm * 0.5 * (1 - math.cos(math.pi * left))

# 23.2 as it was
def train(model, average, batches, parts, lr, warmup, decay):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step, (x, y) in enumerate(batches):
        for x_part, y_part in zip(x.chunk(parts), y.chunk(parts)):
            optimizer.zero_grad()
            loss = (model(x_part) - y_part).square().mean() / parts
            loss.backward()
        for group in optimizer.param_groups: group["lr"] = lr * min(1, (step + 1) / warmup)
        optimizer.step()
        for w, a in zip(model.parameters(), average.parameters()):
            a.data.lerp_(w.data, 1 - decay)

# 23.2 no longer divided by the parts
def train(model, average, batches, parts, lr, warmup, decay):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step, (x, y) in enumerate(batches):
        optimizer.zero_grad()
        for x_part, y_part in zip(x.chunk(parts), y.chunk(parts)):
            loss = (model(x_part) - y_part).square().mean()
            loss.backward()
        for group in optimizer.param_groups: group["lr"] = lr * min(1, (step + 1) / warmup)
        optimizer.step()
        for w, a in zip(model.parameters(), average.parameters()):
            a.data.lerp_(w.data, 1 - decay)

# 23.2 the average is moved before the weights
def train(model, average, batches, parts, lr, warmup, decay):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step, (x, y) in enumerate(batches):
        optimizer.zero_grad()
        for x_part, y_part in zip(x.chunk(parts), y.chunk(parts)):
            loss = (model(x_part) - y_part).square().mean() / parts
            loss.backward()
        for w, a in zip(model.parameters(), average.parameters()):
            a.data.lerp_(w.data, 1 - decay)
        for group in optimizer.param_groups: group["lr"] = lr * min(1, (step + 1) / warmup)
        optimizer.step()

# 23.2 the schedule is a step late
def train(model, average, batches, parts, lr, warmup, decay):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step, (x, y) in enumerate(batches):
        optimizer.zero_grad()
        for x_part, y_part in zip(x.chunk(parts), y.chunk(parts)):
            loss = (model(x_part) - y_part).square().mean() / parts
            loss.backward()
        for group in optimizer.param_groups: group["lr"] = lr * min(1, step / warmup)
        optimizer.step()
        for w, a in zip(model.parameters(), average.parameters()):
            a.data.lerp_(w.data, 1 - decay)

# 23.3 only the rate is repaired
def go_on(state, until):
    w = state["w"]
    generator = torch.Generator().manual_seed(0)
    for step in range(state["step"], until):
        noise = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        w = w - 0.1 * (1 - step / 60) * (w - 1 + noise)
    return dict(w=w, step=until)

# 23.3 only the noise is repaired
def go_on(state, until):
    w = state["w"]
    first = state["step"]
    for step in range(first, until):
        generator = torch.Generator().manual_seed(derived_seed(0, step, Purpose.NOISE))
        noise = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        w = w - 0.1 * (1 - (step - first) / (60 - first)) * (w - 1 + noise)
    return dict(w=w, step=until)

# 23.3 the same noise at every step
def go_on(state, until):
    w = state["w"]
    for step in range(state["step"], until):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        w = w - 0.1 * (1 - step / 60) * (w - 1 + noise)
    return dict(w=w, step=until)

# 23.3 a constant rate
def go_on(state, until):
    w = state["w"]
    for step in range(state["step"], until):
        generator = torch.Generator().manual_seed(derived_seed(0, step, Purpose.NOISE))
        noise = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        w = w - 0.1 * (w - 1 + noise)
    return dict(w=w, step=until)
