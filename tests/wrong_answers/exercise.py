# E.1
halvings = 2
