# 20.1 one after the other
order = "AABB"

# 20.1 B after A has made it
order = "BBAA"

# 20.2 the weights alone
def saved(model, optimizer):
    return {name: t.clone() for name, t in model.state_dict().items()}

def restored(tensors, model, optimizer):
    model.load_state_dict(tensors)

# 20.2 no copies
def saved(model, optimizer):
    return {name: t.detach() for name, t in model.named_parameters()}

def restored(tensors, model, optimizer):
    model.load_state_dict(tensors)

# 20.2 the count of steps forgotten
def saved(model, optimizer):
    tensors = {}
    for i, p in enumerate(model.parameters()):
        tensors[f"{i}/weight"] = p.detach().clone()
        for key, value in optimizer.state[p].items(): tensors[f"{i}/{key}"] = value.clone()
    return tensors

def restored(tensors, model, optimizer):
    for i, p in enumerate(model.parameters()):
        p.data.copy_(tensors[f"{i}/weight"])
        optimizer.state[p] = dict(step=torch.tensor(0.0), exp_avg=tensors[f"{i}/exp_avg"].clone(),
                                  exp_avg_sq=tensors[f"{i}/exp_avg_sq"].clone())
