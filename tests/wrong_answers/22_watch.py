# 22.1 begins at 0 and stays too low
def smoothed(losses, decay):
    mean = 0.0
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found

# 22.1 begins at the first loss, which then weighs too much
def smoothed(losses, decay):
    mean = losses[0]
    found = []
    for loss in losses:
        mean = decay * mean + (1 - decay) * loss
        found.append(mean)
    return found

# 22.1 the mean of all
def smoothed(losses, decay):
    return [sum(losses[:n]) / n for n in range(1, len(losses) + 1)]

# 22.2 nothing is written when the training fails
def watchdog(run, config, step):
    norms = []
    steps = []
    def log(row):
        usual = sorted(norms)[len(norms) // 2] if len(norms) >= 5 else float("inf")
        if row["grad_norm"] > 10 * usual: steps.append(row["step"])
        norms.append(row["grad_norm"])
    yield log
    (run.path / "alarm.json").write_text(json.dumps(steps))

# 22.2 the mean, which the first jump moves
def watchdog(run, config, step):
    norms = []
    steps = []
    def log(row):
        usual = sum(norms) / len(norms) if len(norms) >= 5 else float("inf")
        if row["grad_norm"] > 10 * usual: steps.append(row["step"])
        norms.append(row["grad_norm"])
    try: yield log
    finally: (run.path / "alarm.json").write_text(json.dumps(steps))

# 22.2 the error is swallowed
def watchdog(run, config, step):
    norms = []
    steps = []
    def log(row):
        usual = sorted(norms)[len(norms) // 2] if len(norms) >= 5 else float("inf")
        if row["grad_norm"] > 10 * usual: steps.append(row["step"])
        norms.append(row["grad_norm"])
    try: yield log
    except Exception: pass
    (run.path / "alarm.json").write_text(json.dumps(steps))
