# 28.1 the rate of the batch of 1024
rate, steps = 2e-4, 100 * 1_281_167 // 512

# 28.2 one GPU
epochs = 24 * 3600 * 989e12 * 0.4 / 528e9 / 1_281_167
