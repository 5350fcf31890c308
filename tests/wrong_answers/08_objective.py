# 8.1 the weight, not squared
loss_of_zero = 4
