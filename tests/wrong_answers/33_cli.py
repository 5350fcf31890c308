# 33.1
network_evaluations = 20
