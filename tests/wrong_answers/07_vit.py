# 7.1 colours last, as the head writes them
def rows_to_images(rows, grid, patch_size):
    channels = rows.shape[-1] // patch_size**2
    return unpatch(rows, grid, patch_size, channels)

# 7.1 rows of patches as if they were rows of pixels
def rows_to_images(rows, grid, patch_size):
    side = grid * patch_size
    return rows.reshape(len(rows), -1, side, side)

# 7.2 everything
def quieten(block):
    for parameter in block.parameters(): nn.init.zeros_(parameter)

# 7.2 both factors
def quieten(block):
    for layer in (block.modulation[1], block.attention.out, block.mlp.out):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)

# 7.2 the bias only
def quieten(block):
    nn.init.zeros_(block.modulation[1].bias)

# 7.3 at every time
def guide(model, z, t, labels, scale, interval=(0.1, 0.9)):
    with_class = model(z, t, labels)
    without = model(z, t)
    return without + scale * (with_class - without)

# 7.3 from the prediction with the class
def guide(model, z, t, labels, scale, interval=(0.1, 0.9)):
    with_class = model(z, t, labels)
    inside = (interval[0] < t) & (t < interval[1])
    return with_class + scale * inside[:, None, None, None] * (with_class - model(z, t))

# 7.3 class 0 for none
def guide(model, z, t, labels, scale, interval=(0.1, 0.9)):
    with_class = model(z, t, labels)
    without = model(z, t, 0 * labels)
    inside = (interval[0] < t) & (t < interval[1])
    alpha = torch.where(inside, scale, 1.0)[:, None, None, None]
    return without + alpha * (with_class - without)

# 7.4 the values too
def damage(model):
    for block in model.blocks:
        block.attention.qkv.weight *= 10
        block.attention.qkv.bias *= 10

# 7.4 the bias left as it was
def damage(model):
    for block in model.blocks: block.attention.qkv.weight[:128] *= 10

# 7.4 the queries only, and the keys the other way
def damage(model):
    for block in model.blocks:
        qkv = block.attention.qkv
        qkv.weight[:64] *= 10
        qkv.bias[:64] *= 10
        qkv.weight[64:128] /= 10
        qkv.bias[64:128] /= 10
