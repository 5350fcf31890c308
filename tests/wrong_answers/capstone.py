# C.1 no row of its own for the constant
def cosines(n):
    k = torch.arange(n)[:, None]
    return math.sqrt(2 / n) * torch.cos(math.pi * k * (torch.arange(n) + 0.5) / n)

# C.1 the corners of the pixels, not their middles
def cosines(n):
    k = torch.arange(n)[:, None]
    C = math.sqrt(2 / n) * torch.cos(math.pi * k * torch.arange(n) / n)
    C[0] = math.sqrt(1 / n)
    return C

# C.1 transposed
def cosines(n):
    k = torch.arange(n)[:, None]
    C = math.sqrt(2 / n) * torch.cos(math.pi * k * (torch.arange(n) + 0.5) / n)
    C[0] = math.sqrt(1 / n)
    return C.T

# C.2 blurred, but always of full strength
def point(X, E, t, lam, r):
    return t**(r * lam) * X + (1 - t) * E

# C.2 the blur without its strength
def point(X, E, t, lam, r):
    return t**(1 + lam) * X + (1 - t) * E

# C.2 noise and data at the wrong ends
def point(X, E, t, lam, r):
    return (1 - t)**(1 + r * lam) * X + t * E

# C.3 the Laplacian forgotten
def weight(t, lam, r):
    return t**(r * lam) / (1 - t).clamp(min=0.05)

# C.3 no clamp
def weight(t, lam, r):
    return t**(r * lam) * (1 / (1 - t) + r * lam)

# C.3 the weight of plain flow matching
def weight(t, lam, r):
    return 1 / (1 - t).clamp(min=0.05) + 0 * lam

# C.3 the error of the blurred image
def weight(t, lam, r):
    return 1 / (1 - t).clamp(min=0.05) + r * lam

# C.4 Euler's step
def step(X_hat, Z, t, t_next, lam, r):
    V = t**(r * lam) * (1 / max(1 - t, 0.05) + r * lam) * X_hat - Z / max(1 - t, 0.05)
    return Z + (t_next - t) * V

# C.4 the clamp
def step(X_hat, Z, t, t_next, lam, r):
    E = (Z - t**(1 + r * lam) * X_hat) / max(1 - t, 0.05)
    return t_next**(1 + r * lam) * X_hat + (1 - t_next) * E

# C.4 the blur of the time before
def step(X_hat, Z, t, t_next, lam, r):
    E = (Z - t**(1 + r * lam) * X_hat) / (1 - t)
    return t_next * t**(r * lam) * X_hat + (1 - t_next) * E

# C.5 the errors unweighted
def train(network, images, labels, steps, r, times):
    C = cosines(images.shape[-1])
    lam = eigenvalues(images.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(len(images), (128,))
        t = times(128)[:, None, None]
        X = C @ images[batch] @ C.T
        Z = point(X, torch.randn_like(X), t, lam, r)
        x_hat = network(C.T @ Z @ C, t, labels[batch])
        loss = (x_hat - images[batch]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

# C.5 the weight outside the square
def train(network, images, labels, steps, r, times):
    C = cosines(images.shape[-1])
    lam = eigenvalues(images.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(len(images), (128,))
        t = times(128)[:, None, None]
        X = C @ images[batch] @ C.T
        Z = point(X, torch.randn_like(X), t, lam, r)
        x_hat = network(C.T @ Z @ C, t, labels[batch])
        loss = (weight(t, lam, r) * (C @ x_hat @ C.T - X).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

# C.5 one noise for the whole training
def train(network, images, labels, steps, r, times):
    C = cosines(images.shape[-1])
    lam = eigenvalues(images.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    E = torch.randn(128, *images.shape[1:])
    for _ in range(steps):
        batch = torch.randint(len(images), (128,))
        t = times(128)[:, None, None]
        X = C @ images[batch] @ C.T
        x_hat = network(C.T @ point(X, E, t, lam, r) @ C, t, labels[batch])
        loss = (weight(t, lam, r) * (C @ x_hat @ C.T - X)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

# C.5 labels of other images
def train(network, images, labels, steps, r, times):
    C = cosines(images.shape[-1])
    lam = eigenvalues(images.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(len(images), (128,))
        t = times(128)[:, None, None]
        X = C @ images[batch] @ C.T
        Z = point(X, torch.randn_like(X), t, lam, r)
        x_hat = network(C.T @ Z @ C, t, labels[torch.randint(len(labels), (128,))])
        loss = (weight(t, lam, r) * (C @ x_hat @ C.T - X)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

# C.6 real digits, handed in
drawn = torch.stack([digits[classes == i % 10][i // 10] for i in range(1000)])

# C.6 the mean digit of each class and some noise
torch.manual_seed(0)
means = torch.stack([digits[classes == k].mean(0) for k in range(10)])
drawn = means.repeat(100, 1, 1) + 0.5 * torch.randn(1000, 8, 8)

# C.6 Euler's step without the Laplacian
torch.manual_seed(0)
network = Network(8, 10)
train(network, digits, classes, 1500, 1.0, uniform)
C = cosines(8)
labels = torch.arange(1000) % 10
Z = torch.randn(1000, 8, 8)
times = torch.linspace(0, 1, 21).tolist()
with torch.no_grad():
    for t, t_next in zip(times, times[1:]):
        X_hat = C @ network(C.T @ Z @ C, torch.full((1000, 1, 1), t), labels) @ C.T
        V = (t**eigenvalues(8) * X_hat - Z) / max(1 - t, 0.05)
        Z = Z + (t_next - t) * V
drawn = (C.T @ Z @ C).clamp(-1, 1)
