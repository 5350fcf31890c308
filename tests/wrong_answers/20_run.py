# 20.1 one after the other
order = "AABB"

# 20.1 B looks too late
order = "BBAA"

# 20.2 as it was
def take_over(old, new):
    new.model.load_state_dict(old.model.state_dict())
    new.average.module.load_state_dict(old.average.module.state_dict())

# 20.2 the count of the average forgotten
def take_over(old, new):
    new.model.load_state_dict(old.model.state_dict())
    new.average.module.load_state_dict(old.average.module.state_dict())
    new.optimizer.load_state_dict(copy.deepcopy(old.optimizer.state_dict()))

# 20.2 the moments are shared
def take_over(old, new):
    new.model.load_state_dict(old.model.state_dict())
    new.average.load_state_dict(old.average.state_dict())
    new.optimizer.load_state_dict(old.optimizer.state_dict())
