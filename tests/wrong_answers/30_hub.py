# 30.1 the right path
def sample_on_wrong_path(model, generator):
    return generate(model.network, model.path, torch.arange(10), generator=generator)
