# 35.1 one direction only
def change_of_log_density(a, D):
    return -a

# 35.2 right trace, but a spread
J = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
