# 30.1 the right path
def sample_on_wrong_path(model, generator):
    return generate(model.network, model.path, torch.arange(10), generator=generator)

# 30.1 more blur instead of none
def sample_on_wrong_path(model, generator):
    path = HeatProbPath((8, 8), blur_strength=3)
    return generate(model.network, path, torch.arange(10), generator=generator)

# 30.2 nothing changed
def with_strength(folder, out, r):
    shutil.copytree(folder, out)

# 30.2 the other options of the path are lost
def with_strength(folder, out, r):
    shutil.copytree(folder, out)
    file = Path(out, "config.json")
    config = json.loads(file.read_text())
    config["path"] = dict(kind="heat", shape=[8, 8], blur_strength=r, noise_scale=0.5)
    file.write_text(json.dumps(config))
