# 28.1 one GPU
def epochs_in(hours, gpus, model, mfu):
    return 3600 * hours * PEAK["H100"] * mfu / training_flops(model, (3, 256, 256)) / 1_281_167

# 28.1 the whole peak
def epochs_in(hours, gpus, model, mfu):
    return 3600 * hours * gpus * PEAK["H100"] / training_flops(model, (3, 256, 256)) / 1_281_167

# 28.2 the last line alone
def symptom(rows):
    if rows[-1]["waiting"] > 0.1: return "starved"
    if rows[-1]["loss"] > rows[0]["loss"]: return "diverged"
    return "healthy" if rows[-1]["loss"] < 0.9 * rows[0]["loss"] else "flat"

# 28.2 a fixed size of the loss
def symptom(rows):
    if max(row["loss"] for row in rows) > 5: return "diverged"
    if sum(row["waiting"] for row in rows) / len(rows) > 0.1: return "starved"
    return "healthy" if rows[-1]["loss"] < 0.5 else "flat"
